package mem_test

import (
	"testing"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/handlers/mem"
)

var suite = blocktest.Suite{
	Open: func(tb testing.TB, size int64) block.Store {
		s, err := mem.New(size)
		if err != nil {
			tb.Fatal(err)
		}
		return s
	},
}

func TestStore(t *testing.T)      { blocktest.Run(t, suite) }
func TestAllocs(t *testing.T)     { blocktest.Allocs(t, suite) }
func BenchmarkStore(b *testing.B) { blocktest.Bench(b, suite) }

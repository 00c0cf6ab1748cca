package null_test

import (
	"testing"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/handlers/null"
)

var suite = blocktest.Suite{
	Open:    func(_ testing.TB, size int64) block.Store { return null.New(size) },
	Forgets: true,
}

func TestStore(t *testing.T)      { blocktest.Run(t, suite) }
func TestAllocs(t *testing.T)     { blocktest.Allocs(t, suite) }
func BenchmarkStore(b *testing.B) { blocktest.Bench(b, suite) }

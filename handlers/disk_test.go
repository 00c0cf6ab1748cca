package handlers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/handlertest"
	"github.com/targate/targate/core/sbc"
	"github.com/targate/targate/handlers"
)

// TestDisks runs disks over the stores through the whole core.
func TestDisks(t *testing.T) {
	for _, blockSize := range []uint32{512, 4096} {
		open := func(tb testing.TB, kind string, v map[string]any) core.Handler {
			k, _ := handlers.Find(kind)
			s, err := k.Open("disk0", v, tb.TempDir())
			if err != nil {
				tb.Fatal(err)
			}
			d, err := sbc.New(s, sbc.Config{BlockSize: blockSize, Identity: core.Identity{
				Vendor: "TARGATE", Product: "DISK", Revision: "1", Serial: "0001", NAA: [8]byte{0x30, 7: 1},
			}})
			if err != nil {
				s.Close()
				tb.Fatal(err)
			}
			return d
		}
		memory, err := os.MkdirTemp("/dev/shm", "targate-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(memory) })
		files := 0
		for name, v := range map[string]map[string]any{
			"file":        {"thin": true},
			"file thick":  {"thin": false},
			"file direct": {"direct": true},
			"file tmpfs":  {},
		} {
			t.Run(fmt.Sprintf("%s/%d", name, blockSize), func(t *testing.T) {
				handlertest.RunDisk(t, handlertest.Disk{Open: func(tb testing.TB, size int64) core.Handler {
					v["path"], v["size"] = filepath.Join(tb.TempDir(), "disk"), size
					if name == "file tmpfs" {
						files++
						v["path"] = filepath.Join(memory, fmt.Sprint(files))
					}
					return open(tb, "file", v)
				}})
			})
		}
		t.Run(fmt.Sprintf("mem/%d", blockSize), func(t *testing.T) {
			handlertest.RunDisk(t, handlertest.Disk{Open: func(tb testing.TB, size int64) core.Handler {
				return open(tb, "mem", map[string]any{"size": size})
			}})
		})
		t.Run(fmt.Sprintf("null/%d", blockSize), func(t *testing.T) {
			// not RunDisk: it keeps no data to find again
			handlertest.Run(t, handlertest.Suite{Open: func(tb testing.TB) core.Handler {
				return open(tb, "null", map[string]any{"size": int64(1 << 40)})
			}})
		})
	}
}

package handlers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/handlertest"
	"github.com/targate/targate/core/sbc"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/handlers"
)

// openProtected makes the disk that v describes.
func openProtected(tb testing.TB, kind string, v map[string]any) (*sbc.Disk, error) {
	tb.Helper()
	k, _ := handlers.Find(kind)
	s, err := k.Open("disk0", v, tb.TempDir())
	if err != nil {
		return nil, err
	}
	dif, typ, err := k.OpenProtection("disk0", v, sbc.ProtectionSize(s.Info().Size, 512))
	if err != nil {
		s.Close()
		return nil, err
	}
	cfg := sbc.Config{BlockSize: 512, Identity: core.Identity{
		Vendor: "TARGATE", Product: "DISK", Revision: "1", Serial: "0001", NAA: [8]byte{0x30, 7: 1}}}
	if dif != nil {
		cfg.Protection = &sbc.Protection{Store: dif, Type: typ}
	}
	return sbc.New(s, cfg)
}

// TestProtectedDisks runs disks with protection information through the whole core: who
// does not ask for it sees no difference.
func TestProtectedDisks(t *testing.T) {
	for _, protection := range []int64{1, 2, 3} {
		for kind, v := range map[string]map[string]any{"file": {}, "mem": {}} {
			if kind == "file" && protection != 1 {
				continue // the types differ above the store
			}
			t.Run(fmt.Sprintf("%s/%d", kind, protection), func(t *testing.T) {
				handlertest.RunDisk(t, handlertest.Disk{Open: func(tb testing.TB, size int64) core.Handler {
					if kind == "file" {
						v["path"] = filepath.Join(tb.TempDir(), "disk")
					}
					v["size"], v["protection"] = size, protection
					d, err := openProtected(tb, kind, v)
					if err != nil {
						tb.Fatal(err)
					}
					return d
				}})
			})
		}
	}
}

// TestDIFFile: the file beside the disk outlives a restart, finds corruption, and cannot
// be forgotten.
func TestDIFFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	v := map[string]any{"path": path, "size": int64(1 << 20), "protection": int64(1)}
	write := []byte{0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0}
	read := []byte{0x28, 0x20, 0, 0, 0, 5, 0, 0, 1, 0}
	start := func() (*core.Unit, *core.Path) {
		d, err := openProtected(t, "file", v)
		if err != nil {
			t.Fatal(err)
		}
		u := coretest.NewUnit(t, d, &coretest.State{})
		return u, coretest.NewPath(t, u)
	}
	u, p := start()
	if r := coretest.Do(p, write, make([]byte, 512), 0); !r.Good() {
		t.Fatal(r)
	}
	before := coretest.Do(p, read, nil, 520)
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path + ".dif"); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}

	u, p = start()
	if r := coretest.Do(p, read, nil, 520); !r.Good() || string(r.Data) != string(before.Data) {
		t.Errorf("after a restart: %v, % x", r, r.Data[512:])
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}

	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 5*512+100); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	u, p = start()
	if r := coretest.Do(p, read, nil, 520); !r.Is(sense.AbortedCommand, sense.GuardCheckFailed) || r.Sense.Info != 5 {
		t.Errorf("a flipped bit: %v", r)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}

	v["protection"] = int64(0)
	if _, err := openProtected(t, "file", v); err == nil || !strings.Contains(err.Error(), path+".dif") {
		t.Errorf("without its protection information: %v", err)
	}
	v["protection"], v["size"] = int64(2), int64(2<<20) // longer, and the type that it has
	u, p = start()
	if r := coretest.Do(p, []byte{0x9e, 0x10, 13: 32, 15: 0}, nil, 32); !r.Good() || r.Data[12] != 0x01 {
		t.Errorf("READ CAPACITY(16): %v, % x", r, r.Data)
	}
	v["dif_path"] = filepath.Join(t.TempDir(), "elsewhere")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if _, p = start(); coretest.Do(p, []byte{0x9e, 0x10, 13: 32, 15: 0}, nil, 32).Data[12] != 0x03 {
		t.Error("a new file is not of type 2")
	}
}

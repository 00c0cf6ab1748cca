//go:build system

package initiator_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// TestPeer checks this package against a target that is not ours, so that an error of
// the initiator and the same error of the target cannot hide each other.
func TestPeer(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "disk")
	if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	tgtd, err := daemon.StartTgtd(daemon.TgtdOptions{Dir: dir, Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tgtd.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	o := initiator.Options{Addr: tgtd.Portal, InitiatorName: "iqn.2026-11.org.targate:test"}

	t.Run("discovery", func(t *testing.T) {
		got, err := initiator.Discover(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		want := initiator.Portal{Target: daemon.TgtdTarget, Address: tgtd.Portal + ",1"}
		if len(got) != 1 || got[0] != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("no such target", func(t *testing.T) {
		o := o
		o.TargetName = "iqn.2026-11.org.targate:none"
		var refused *initiator.LoginError
		if _, err := initiator.Dial(ctx, o); !errors.As(err, &refused) {
			t.Errorf("got %v, want a refused login", err)
		}
	})
	t.Run("session", func(t *testing.T) {
		o := o
		o.TargetName = daemon.TgtdTarget
		s, err := initiator.Dial(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if luns, err := s.LUNs(ctx); err != nil || len(luns) != 2 {
			t.Errorf("LUNs %v, %v", luns, err)
		}
		if n, size, err := s.Capacity(ctx, 1); n != 16384 || size != 512 || err != nil {
			t.Errorf("capacity %d x %d, %v", n, size, err)
		}
		if err := s.Ping(ctx, []byte("hello")); err != nil {
			t.Error(err)
		}
		for _, n := range []int{512, 8192, 65536, 1 << 20} {
			data := bytes.Repeat([]byte{byte(n >> 9), 1, 2, 3}, n/4)
			r, err := s.Do(ctx, &initiator.Command{LUN: 1, CDB: initiator.Write10(5, uint16(n/512)), Out: data})
			if err != nil || r.Err() != nil {
				t.Fatalf("write %d: %v %v", n, err, r)
			}
			r, err = s.Do(ctx, &initiator.Command{LUN: 1, CDB: initiator.Read10(5, uint16(n/512)), In: n})
			if err != nil || r.Err() != nil {
				t.Fatalf("read %d: %v %v", n, err, r)
			}
			if !bytes.Equal(r.Data, data) {
				t.Errorf("%d bytes do not come back", n)
			}
		}
		r, err := s.Do(ctx, &initiator.Command{LUN: 1, CDB: initiator.Read10(1<<31, 1), In: 512})
		if err != nil || r.Status != 2 || r.Key() != 5 || r.Code() != 0x2100 {
			t.Errorf("read past the end: %v, %v", r, err)
		}
		if got, err := s.TMF(ctx, initiator.LUReset, 1, initiator.NoTag, 0); err != nil || got != initiator.FunctionComplete {
			t.Errorf("LOGICAL UNIT RESET: %d, %v", got, err)
		}
		if err := s.Logout(ctx); err != nil {
			t.Error(err)
		}
	})
}

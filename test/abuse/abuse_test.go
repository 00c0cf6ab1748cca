//go:build system

package abuse

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

const (
	iqn   = "iqn.2026-11.org.targate:abuse"
	limit = 4 * time.Minute // for one test
)

// start serves a disk in memory; head is put before the devices of the configuration.
func start(t *testing.T, head string) *daemon.Targate {
	t.Helper()
	target, err := daemon.StartTargate(daemon.TargateOptions{Dir: t.TempDir(), Config: head + `
devices: [{name: ram, handler: mem, size: 64MiB}]
targets: [{iqn: "` + iqn + `", luns: {0: ram}}]
`})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := target.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the last lines of targate:\n%s", target.Log.Tail(20))
		}
	})
	return target
}

// options make initiator port n: every port has a name and an ISID of its own.
func options(target *daemon.Targate, n int) initiator.Options {
	o := initiator.Options{Addr: target.Portal, TargetName: iqn, ISID: [6]byte{0x80},
		InitiatorName: fmt.Sprintf("iqn.2026-11.org.targate:abuse.%d", n), Timeout: time.Minute}
	binary.BigEndian.PutUint32(o.ISID[2:], uint32(n))
	return o
}

// dial logs in and takes the unit attention of a new nexus.
func dial(ctx context.Context, target *daemon.Targate, n int) (*initiator.Session, error) {
	s, err := initiator.Dial(ctx, options(target, n))
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx, 0); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// quiet waits until no session is left and gives the status then.
func quiet(ctx context.Context, t *testing.T, target *daemon.Targate) *daemon.Status {
	t.Helper()
	s, err := target.Await(ctx, func(s *daemon.Status) bool { return s.Sessions == 0 && s.Memory.Used == 0 })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

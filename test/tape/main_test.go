//go:build system

package tape

import (
	"flag"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
)

const (
	iqn      = "iqn.2026-11.org.targate:tape"
	iqnAgain = "iqn.2026-11.org.targate:tape-again" // the same library

	lunChanger = 0
	lunDrive   = 1 // the one that most cases use
	lunOther   = 2

	drives, slots, mailslots = 2, 40, 3
)

// Kinds of cartridges, by what cases call them, and where the first of each kind lies.
var kinds = map[string]struct {
	slot, count int
	barcode     string // of the first
}{
	"tiny":  {1, 4, "TG0001U8"}, // daemon.TinyBytes
	"small": {5, 4, "TG0005T8"},
	"big":   {9, 4, "TG0009L8"},
	"worm":  {13, 16, "TG0013UY"}, // each case takes a new one
	"old":   {29, 1, "TG0029L7"},  // of a generation that the drive only reads
	"clean": {30, 1, "CLN030L8"},
}

const config = `libraries:
  - name: lib0
    model: ibm-3573-tl
    path: ./tapes
    personalities: ./models
    drives: [` + daemon.TestDrive + `, ` + daemon.TestDrive + `]
    slots: 40
    mailslots: 3
    cartridges: ["TG0001U8-TG0004U8", "TG0005T8-TG0008T8", "TG0009L8-TG0012L8", "TG0013UY-TG0028UY", TG0029L7, CLN030L8]
targets:
  - {iqn: "` + iqn + `", library: lib0}
  - {iqn: "` + iqnAgain + `", library: lib0}
`

// lab is the server that all cases share.
var lab struct {
	*daemon.Targate
	worms int // of the WORM cartridges, how many were used
}

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "targate-tape")
	if err != nil {
		log.Fatal(err)
	}
	code := 1
	if err = daemon.WriteTapeModels(dir); err == nil {
		lab.Targate, err = daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: config})
	}
	if err == nil {
		code = m.Run()
		err = lab.Stop()
	}
	if err != nil {
		log.Print(err)
		code = 1
	}
	if code != 0 && lab.Targate != nil && lab.Process != nil {
		log.Printf("the last lines of targate:\n%s", lab.Log.Tail(40))
	}
	if err := os.RemoveAll(dir); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

// cases and failures count what run was given.
var cases, failures atomic.Int32

// minCases is the least number of cases of the whole suite.
const minCases = 300

// run is t.Run of one case.
func run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		cases.Add(1)
		t.Cleanup(func() {
			if t.Failed() {
				failures.Add(1)
			}
			select {
			case <-lab.Done():
				t.Fatal("the server has ended")
			default:
			}
		})
		f(t)
	})
}

// TestTape runs every family of cases.
func TestTape(t *testing.T) {
	begin := time.Now()
	whole := true
	for _, f := range families {
		if !t.Run(f.name, f.run) {
			whole = false
		}
	}
	if whole && flag.Lookup("test.run").Value.String() == "" && cases.Load() < minCases {
		t.Errorf("%d cases, there should be at least %d", cases.Load(), minCases)
	}
	figure.Report(t, "conformance-tape: %d cases, %d failed, in %.0f s", cases.Load(), failures.Load(), time.Since(begin).Seconds())
}

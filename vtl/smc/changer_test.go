package smc_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/handlertest"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/library/librarytest"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/smc"
)

// rig is a changer with two initiators.
type rig struct {
	tb    testing.TB
	lib   *library.Library
	unit  *core.Unit
	paths [2]*core.Path
}

func newRig(tb testing.TB, edit func(*library.Config)) *rig {
	tb.Helper()
	cfg := librarytest.Config(tb.TempDir(), 2)
	for i := range cfg.Drives {
		cfg.Drives[i].Serial = fmt.Sprintf("TGDRIVE%03d", i+1)
	}
	if edit != nil {
		edit(&cfg)
	}
	lib, err := library.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := lib.Close(); err != nil {
			tb.Error(err)
		}
	})
	ch, err := smc.New(lib, cfg.Log)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, lib: lib, unit: coretest.NewUnit(tb, ch, &coretest.State{})}
	for i := range r.paths {
		r.paths[i] = coretest.NewPath(tb, r.unit)
	}
	return r
}

// do runs a command of the first initiator.
func (r *rig) do(cdb, out []byte) coretest.Result {
	return coretest.Do(r.paths[0], cdb, out, coretest.AnyLength)
}

func TestHandler(t *testing.T) {
	for _, name := range []string{"ibm-3573-tl", "hp-msl-g3", "stk-l700", "ibm-03584l32", "generic"} {
		t.Run(name, func(t *testing.T) {
			handlertest.Run(t, handlertest.Suite{Open: func(tb testing.TB) core.Handler {
				cfg := librarytest.Config(tb.TempDir(), 2)
				cfg.Model = changer(tb, name)
				lib, err := library.Open(cfg)
				if err != nil {
					tb.Fatal(err)
				}
				tb.Cleanup(func() { lib.Close() })
				h, err := smc.New(lib, cfg.Log)
				if err != nil {
					tb.Fatal(err)
				}
				return h
			}})
		})
	}
}

func changer(tb testing.TB, name string) *personality.Changer {
	tb.Helper()
	m, ok := personality.Builtin().Changer(name)
	if !ok {
		tb.Fatalf("there is no changer %q", name)
	}
	return m
}

func TestReservedBits(t *testing.T) { coretest.CheckReservedBits(t, newRig(t, nil).paths[0]) }

// TestSequences runs the exchanges under testdata: what clients send, and what they get. go test -run
// TestSequences -rewrite writes the outcomes anew.
//
//	model NAME [drives=N] [slots=N] [mailslots=N]   another library, of cartridges TG0001L8 to TG0004L8
//	identities                                      INQUIRY data and VPD pages of all models
//	do [other] [in=LENGTH]                          a CDB, and Data-Out on further lines
//	reset                                           LOGICAL UNIT RESET
//	lose                                            the first initiator's nexus is lost, and begins anew
//	people                                          what people do: load BARCODE DRIVE, export BARCODE, ...
//	ua [other]                                      the unit attentions that wait
func TestSequences(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		r := newRig(t, nil)
		datadriven.RunTest(t, file, func(t *testing.T, td *datadriven.TestData) string {
			path := r.paths[0]
			if td.HasArg("other") {
				path = r.paths[1]
			}
			switch td.Cmd {
			case "model":
				r = newRig(t, func(cfg *library.Config) {
					drives := len(cfg.Drives)
					cfg.Model = changer(t, strings.TrimSpace(td.Input))
					td.MaybeScanArgs(t, "slots", &cfg.Slots)
					td.MaybeScanArgs(t, "mailslots", &cfg.Mailslots)
					td.MaybeScanArgs(t, "drives", &drives)
					cfg.Drives = cfg.Drives[:drives]
				})
				return ""
			case "do":
				in := coretest.AnyLength
				td.MaybeScanArgs(t, "in", &in)
				head, rest, _ := strings.Cut(td.Input, "\n")
				return show(coretest.Do(path, unhex(t, head), unhex(t, rest), in))
			case "people":
				return people(t, r, td.Input)
			case "identities":
				return identities(t)
			case "reset":
				r.unit.Reset(func() {})
				return ""
			case "lose":
				r.paths[0].Nexus().Close()
				r.paths[0] = coretest.NewPath(t, r.unit)
				return ""
			case "ua":
				var b strings.Builder
				for _, c := range coretest.TakeUA(path) {
					fmt.Fprintf(&b, "%02Xh/%02Xh %s\n", c.ASC(), c.ASCQ(), c.Name())
				}
				return b.String()
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

// people does what each line says, and shows what the library says to it.
func people(t *testing.T, r *rig, input string) string {
	ctx := context.Background()
	var b strings.Builder
	for line := range strings.Lines(input) {
		f := append(strings.Fields(line), "", "")
		number, _ := strconv.Atoi(f[len(f)-3])
		var err error
		switch f[0] {
		case "load":
			err = r.lib.Load(ctx, f[1], number)
		case "eject":
			err = r.lib.Eject(ctx, number)
		case "import":
			var to library.Place
			if to, err = r.lib.Import(ctx, f[1], to); err == nil {
				fmt.Fprintln(&b, to)
			}
		case "export":
			err = r.lib.Export(ctx, f[1])
		case "prevent": // by an initiator of the drive
			r.lib.Drive(number).(*librarytest.Drive).Prevent(true)
		case "allow":
			r.lib.Drive(number).(*librarytest.Drive).Prevent(false)
		case "remove-drive":
			err = r.lib.RemoveDrive(ctx, number)
		case "slots":
			err = r.lib.SetSlots(ctx, number, 2)
		case "create":
			_, err = r.lib.Create(ctx, f[1], library.CreateOptions{})
		case "where":
			c, err := r.lib.Cartridge(f[1])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, c.Place)
		default:
			t.Fatalf("people cannot %s", f[0])
		}
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var b []byte
	for _, f := range strings.Fields(s) {
		if text, ok := strings.CutPrefix(f, "'"); ok { // text, filled up with blanks to a volume identifier
			b = append(b, fmt.Sprintf("%-32s", text)...)
			continue
		}
		h, err := hex.DecodeString(f)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, h...)
	}
	return b
}

func show(r coretest.Result) string {
	s := r.String() + "\n"
	if len(r.Data) > 0 {
		s += hex.Dump(r.Data)
	}
	return s
}

func newDriveModel(tb testing.TB) *personality.Drive {
	tb.Helper()
	m, ok := personality.Builtin().Drive("ibm-ult3580-td8")
	if !ok {
		tb.Fatal("there is no drive ibm-ult3580-td8")
	}
	return m
}

// identities are the standard INQUIRY data and the VPD pages of each model that differ from one to another. The
// NAA designator is random, so page 83h is shown up to its T10 vendor ID designator.
func identities(t *testing.T) string {
	var b strings.Builder
	for _, m := range personality.Builtin().Changers() {
		r := newRig(t, func(cfg *library.Config) {
			cfg.Model, cfg.Serial = m, (m.SerialPrefix + "0123456789ABCDEF")[:m.SerialLength]
			cfg.Slots, cfg.Mailslots = 1, 0
		})
		inquiry := func(evpd, page byte) []byte { return r.good([]byte{0x12, evpd, page, 0, 0xff, 0}) }
		fmt.Fprintf(&b, "%s\n%s", m.Name, hex.Dump(inquiry(0, 0)))
		for _, page := range inquiry(1, 0)[4:] {
			data := inquiry(1, page)
			switch page {
			case 0x83:
				data = data[:4+4+data[7]]
			case 0x86, 0x87, 0x88: // the same of all
				continue
			}
			fmt.Fprintf(&b, "VPD %02Xh\n%s", page, hex.Dump(data))
		}
	}
	return b.String()
}

// good is the Data-In of a command that must succeed.
func (r *rig) good(cdb []byte) []byte {
	r.tb.Helper()
	got := r.do(cdb, nil)
	if !got.Good() {
		r.tb.Fatalf("% x: %v", cdb, got)
	}
	return got.Data
}

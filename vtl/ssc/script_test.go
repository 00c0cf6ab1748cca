package ssc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
)

// TestScript runs the exchanges under testdata/script. Each file has one drive, with a cartridge in it, that
// three initiators reach. go test -run TestScript -rewrite writes the outcomes anew.
//
//	drive model=NAME barcode=BARCODE [mib=CAPACITY]   a new drive, and the cartridge in it
//	do [nexus=N] [in=LENGTH] [out=N] [mask=FROM-TO]   one command: a CDB in hexadecimal, Data-Out on further
//	                                                  lines or N bytes that count up; what changes from
//	                                                  run to run is masked. in defaults to 4096.
//	ua [nexus=N]                                      the unit attentions that wait
//	insert barcode=BARCODE [mib=CAPACITY] [protected] another cartridge, in the place of that in the drive
//	clean                                             the drive wants to be cleaned
//	damage object=N                                   an object of partition 0 cannot be read any more
//	lose nexus=N                                      the nexus is lost
//	alerts [nexus=N]                                  the TapeAlert flags that log page 2Eh tells
//	display                                           what the panel of the drive shows
//	timeouts                                          REPORT SUPPORTED OPERATION CODES as LTFS reads it
//	mam                                               identifiers and lengths of READ ATTRIBUTE's values, all
//	                                                  of them with an allocation length of 32 KiB
//	vcr                                               whether the volume change reference is another than before
func TestScript(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, file string) {
		var d *Drive
		var paths []*core.Path
		var vcr []byte
		var cart *cartridge
		datadriven.RunTest(t, file, func(t *testing.T, td *datadriven.TestData) string {
			nexus, mib := 0, 64
			var barcode string
			td.MaybeScanArgs(t, "nexus", &nexus)
			td.MaybeScanArgs(t, "mib", &mib)
			td.MaybeScanArgs(t, "barcode", &barcode)
			switch td.Cmd {
			case "drive":
				var model string
				td.ScanArgs(t, "model", &model)
				d = driveOf(t, model)
				u := coretest.NewUnit(t, d, &coretest.State{})
				if barcode != "" {
					cart = insert(t, d, barcode, mib, false)
				}
				paths = nil
				for range 3 {
					paths = append(paths, coretest.NewPath(t, u))
				}
				return ""
			case "insert":
				if err := d.Remove(t.Context()); err != nil {
					return err.Error() + "\n"
				}
				cart = insert(t, d, barcode, mib, td.HasArg("protected"))
				return ""
			case "clean":
				d.RequireCleaning()
				return ""
			case "damage":
				var object uint64
				td.ScanArgs(t, "object", &object)
				cart.Corrupt(0, object)
				return ""
			case "ua":
				var b strings.Builder
				for _, c := range coretest.TakeUA(paths[nexus]) {
					fmt.Fprintf(&b, "%02Xh/%02Xh %s\n", c.ASC(), c.ASCQ(), c.Name())
				}
				return b.String()
			case "lose":
				paths[nexus].Nexus().Reset(func() {})
				return ""
			case "alerts":
				r := coretest.Do(paths[nexus], []byte{0x4d, 0, 0x6e, 0, 0, 0, 0, 0x10, 0, 0}, nil, 4096)
				if !r.Good() || len(r.Data) != 4+64*5 {
					t.Fatalf("%v, %d bytes", r, len(r.Data))
				}
				var b strings.Builder
				for i := range 64 {
					if p := r.Data[4+5*i:]; p[4] != 0 {
						fmt.Fprintf(&b, "flag %02Xh\n", binary.BigEndian.Uint16(p))
					}
				}
				return b.String()
			case "display":
				return d.Display() + "\n"
			case "timeouts":
				return timeouts(t, paths[nexus])
			case "mam":
				return memory(t, paths[nexus])
			case "vcr":
				r := coretest.Do(paths[nexus], []byte{0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 13, 0, 0}, nil, 13)
				if !r.Good() || len(r.Data) != 13 {
					return r.String() + "\n"
				}
				old := vcr
				vcr = r.Data[9:]
				switch {
				case bytes.Equal(old, vcr):
					return "the same\n"
				case old != nil && bytes.Compare(old, vcr) > 0:
					return "below the one before\n"
				}
				return "another\n"
			case "do":
				return do(t, td, paths[nexus])
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

func do(t *testing.T, td *datadriven.TestData, p *core.Path) string {
	room, count, mask := 4096, 0, ""
	td.MaybeScanArgs(t, "in", &room)
	td.MaybeScanArgs(t, "out", &count)
	td.MaybeScanArgs(t, "mask", &mask)
	head, rest, _ := strings.Cut(td.Input, "\n")
	out := unhex(t, rest)
	for i := range count {
		out = append(out, byte(i))
	}
	r := coretest.Do(p, unhex(t, head), out, room)
	data := bytes.Clone(r.Data)
	if mask != "" {
		var from, to int
		if _, err := fmt.Sscanf(mask, "%d-%d", &from, &to); err != nil {
			t.Fatal(err)
		}
		for i := from; i <= to && i < len(data); i++ {
			data[i] = 0xee
		}
	}
	s := r.String() + "\n"
	if r.Sense != nil && r.Status == scsi.CheckCondition && (r.Sense.Filemark || r.Sense.EndOfMedium || r.Sense.ILI) {
		s = fmt.Sprintf("filemark %v, end of medium %v, ILI %v: %s", r.Sense.Filemark, r.Sense.EndOfMedium, r.Sense.ILI, s)
	}
	if len(data) > 0 {
		s += hex.Dump(data)
	}
	return s
}

// timeouts reads REPORT SUPPORTED OPERATION CODES with RCTD as LTFS does: descriptors of 20 bytes, the first for each
// opcode counts.
func timeouts(t *testing.T, p *core.Path) string {
	t.Helper()
	r := coretest.Do(p, []byte{0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x10, 0, 0, 0}, nil, 4096)
	if !r.Good() || len(r.Data) < 4 || (len(r.Data)-4)%20 != 0 || len(r.Data) >= 4096 {
		t.Fatalf("%v, %d bytes", r, len(r.Data))
	}
	var b strings.Builder
	seen := map[byte]bool{}
	for d := r.Data[4:]; len(d) > 0; d = d[20:] {
		recommended := binary.BigEndian.Uint32(d[16:])
		if recommended == 0 || recommended == 0xffffffff {
			t.Errorf("opcode %02Xh has no timeout", d[0])
		}
		if !seen[d[0]] && recommended > 60 {
			fmt.Fprintf(&b, "%02Xh %d s\n", d[0], recommended)
		}
		seen[d[0]] = true
	}
	return b.String()
}

// memory walks over the attributes as a client does.
func memory(t *testing.T, p *core.Path) string {
	t.Helper()
	r := coretest.Do(p, []byte{0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0}, nil, 32<<10)
	if !r.Good() || len(r.Data) < 4 || int(binary.BigEndian.Uint32(r.Data)) != len(r.Data)-4 {
		t.Fatalf("%v, %d bytes", r, len(r.Data))
	}
	var b strings.Builder
	for d := r.Data[4:]; len(d) > 0; {
		n := int(binary.BigEndian.Uint16(d[3:]))
		fmt.Fprintf(&b, "%04Xh format %d, %d bytes\n", binary.BigEndian.Uint16(d), d[2]&3, n)
		d = d[5+n:]
	}
	return b.String()
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func driveOf(t *testing.T, model string) *Drive {
	t.Helper()
	m, ok := models.Drive(model)
	if !ok {
		t.Fatalf("no model %s", model)
	}
	d, err := New(Config{Model: m, Identity: core.Identity{Vendor: m.Vendor, Product: m.Product, Revision: m.Revision,
		Serial: m.SerialPrefix + strings.Repeat("0", m.SerialLength-len(m.SerialPrefix)-1) + "1"},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func insert(t *testing.T, d *Drive, barcode string, mib int, protected bool) *cartridge {
	t.Helper()
	c := newCartridge(t, barcode, int64(mib)<<20)
	c.protected = protected
	if err := d.Insert(c); err != nil {
		t.Fatal(err)
	}
	return c
}

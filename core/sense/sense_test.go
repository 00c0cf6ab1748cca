package sense

import (
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	m, err := parseNames(ascTable)
	if err != nil {
		t.Fatal(err)
	}
	if len(m) < 700 {
		t.Errorf("only %d codes", len(m))
	}
	for c, want := range map[Code]string{
		0x0000: "NO ADDITIONAL SENSE INFORMATION",
		0x2400: "INVALID FIELD IN CDB",
		0x3b0d: "MEDIUM DESTINATION ELEMENT FULL", // changers
		0x0004: "BEGINNING-OF-PARTITION/MEDIUM DETECTED",
		0x7303: "POWER CALIBRATION AREA ERROR", // CD
		0x4085: "DIAGNOSTIC FAILURE ON COMPONENT 85h",
		0x4000: "RAM FAILURE (SHOULD USE 40 NN)",
		0x4d07: "TAGGED OVERLAPPED COMMANDS",
		0x7002: "DECOMPRESSION EXCEPTION SHORT ALGORITHM ID OF 02h",
		0x8001: "",
	} {
		if got := c.Name(); got != want {
			t.Errorf("%04X is %q, want %q", uint16(c), got, want)
		}
	}
}

func TestBadNames(t *testing.T) {
	for _, text := range []string{"0000", "00 NAME", "00XX\tNAME", "000\tNAME", "0000\t", "0000\tA\n0000\tB"} {
		if _, err := parseNames(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestConstants checks that each Code constant has the T10 name in its comment, is
// declared once and in order.
func TestConstants(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	n, last := 0, int64(-1)
	ast.Inspect(f, func(node ast.Node) bool {
		s, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := s.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		n++
		v, err := strconv.ParseInt(s.Values[0].(*ast.BasicLit).Value, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		name := s.Names[0].Name
		if v <= last {
			t.Errorf("%s (%04X) is out of order or twice", name, v)
		}
		last = v
		if want, got := Code(v).Name(), strings.TrimSpace(s.Comment.Text()); got != want || want == "" {
			t.Errorf("%s (%04X) says %q, T10 says %q", name, v, got, want)
		}
		return true
	})
	if n < 50 {
		t.Errorf("found %d constants", n)
	}
}

var golden = []struct {
	name              string
	e                 *Error
	fixed, descriptor string
}{
	{"no sense", New(NoSense, NoAdditionalSense),
		"700000000000000a00000000000000000000",
		"7200000000000000"},
	{"field", Field(8),
		"700005000000000a00000000240000c00008",
		"7205240000000008" + "02060000c0000800"},
	{"field bit", FieldBit(1, 4),
		"700005000000000a00000000240000cc0001",
		"7205240000000008" + "02060000cc000100"},
	{"parameter", Param(258),
		"700005000000000a00000000260000800102",
		"7205260000000008" + "0206000080010200"},
	{"parameter bit", ParamBit(258, 7),
		"700005000000000a000000002600008f0102",
		"7205260000000008" + "020600008f010200"},
	{"LBA", ErrLBA.WithInfo(0x12345678),
		"f00005123456780a00000000210000000000",
		"720521000000000c" + "000a80000000000012345678"},
	{"LBA above 32 bits", ErrLBA.WithInfo(0x1_0000_0000),
		"700005000000000a00000000210000000000",
		"720521000000000c" + "000a80000000000100000000"},
	{"progress", &Error{Key: NotReady, Code: SanitizeInProgress, Progress: 0x8000, HasProgress: true},
		"700002000000000a00000000041b00808000",
		"7202041b00000008" + "0206000080800000"},
	{"command-specific", &Error{Key: CopyAborted, Command: 0x01020304, HasCommand: true},
		"70000a000000000a01020304000000000000",
		"720a00000000000c" + "010a00000000000001020304"},
	{"filemark", &Error{Key: NoSense, Code: 0x0001, Filemark: true, Info: 4, HasInfo: true},
		"f00080000000040a00000000000100000000",
		"7200000100000010" + "000a80000000000000000004" + "04020080"},
	{"early warning", &Error{Key: NoSense, Code: 0x0002, EndOfMedium: true},
		"700040000000000a00000000000200000000",
		"7200000200000004" + "04020040"},
	{"wrong block length", &Error{Key: NoSense, ILI: true, Info: 0xfffffe00, HasInfo: true},
		"f00020fffffe000a00000000000000000000",
		"7200000000000010" + "000a800000000000fffffe00" + "04020020"},
	{"deferred", &Error{Key: MediumError, Code: WriteError, Deferred: true},
		"710003000000000a000000000c0000000000",
		"73030c0000000000"},
}

func TestGolden(t *testing.T) {
	for _, c := range golden {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			for _, f := range []struct {
				descriptor bool
				want       string
			}{{false, c.fixed}, {true, c.descriptor}} {
				b := c.e.Append([]byte{0xee}, f.descriptor)
				if got := hex.EncodeToString(b[1:]); b[0] != 0xee || got != f.want {
					t.Errorf("descriptor %v:\n got %s\nwant %s", f.descriptor, got, f.want)
				}
				e, err := Parse(b[1:])
				if err != nil {
					t.Fatal(err)
				}
				want := *c.e
				if !f.descriptor && want.Info > 0xffffffff {
					want.Info, want.HasInfo = 0, false
				}
				if *e != want {
					t.Errorf("descriptor %v: read back %+v, want %+v", f.descriptor, *e, want)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrShort},
		{"fixed of 7 bytes", "70000500000000", ErrShort},
		{"descriptor of 7 bytes", "72052400000000", ErrShort},
		{"descriptor list cut", "720524000000000802060000c0", ErrShort},
		{"descriptor overruns list", "7205240000000004020a0000", ErrShort},
		{"response code", "7f00050000000000", ErrResponse},
	} {
		b, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestParseTolerates reads what other devices send: fixed format of 8 bytes, and
// descriptors that we have no place for.
func TestParseTolerates(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Error
	}{
		{"7000060000000000", Error{Key: UnitAttention}},
		{"72062900000000060304" + "000000ff", Error{Key: UnitAttention, Code: PowerOnReset}},
		{"720629000000000880060000" + "00000000", Error{Key: UnitAttention, Code: PowerOnReset}},
	} {
		b, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Parse(b)
		if err != nil || *e != c.want {
			t.Errorf("%s: %+v, %v", c.in, e, err)
		}
	}
}

// TestIs: what tests and callers rely on to compare errors.
func TestIs(t *testing.T) {
	if !errors.Is(ErrLBA.WithInfo(7), ErrLBA) || errors.Is(ErrLBA, ErrNoUnit) {
		t.Error("Is compares more or less than key and code")
	}
	cause := errors.New("disk on fire")
	if e := Of(cause); e.Key != HardwareError || !errors.Is(e, cause) {
		t.Errorf("Of an error of no kind: %v", e)
	}
	if ErrLBA.HasInfo {
		t.Error("a shared error was changed")
	}
}

// FuzzParse: no input panics, and what was read encodes to what reads back the same.
func FuzzParse(f *testing.F) {
	for _, c := range golden {
		f.Add(c.e.Append(nil, false))
		f.Add(c.e.Append(nil, true))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			return
		}
		enc := e.Append(nil, true)
		if len(enc) > MaxLen {
			t.Fatalf("%d bytes of sense data", len(enc))
		}
		back, err := Parse(enc)
		if err != nil {
			t.Fatal(err)
		}
		if *back != *e {
			t.Fatalf("%+v became %+v", *e, *back)
		}
	})
}

// A block that is longer than what was asked for: INFORMATION is negative, in the width of its field. Other
// numbers of 64 bits have no place in fixed format.
func TestNegativeLength(t *testing.T) {
	e := &Error{ILI: true, Info: ^uint64(0) - 511, HasInfo: true}
	for _, c := range []struct {
		descriptor bool
		want       string
	}{
		{false, "f00020fffffe000a00000000000000000000"},
		{true, "7200000000000010" + "000a8000fffffffffffffe00" + "04020020"},
	} {
		if got := hex.EncodeToString(e.Append(nil, c.descriptor)); got != c.want {
			t.Errorf("descriptor %v: %s, want %s", c.descriptor, got, c.want)
		}
	}
	e.ILI = false
	if b := e.Append(nil, false); b[0] != 0x70 {
		t.Errorf("an LBA of 64 bits in fixed format: % x", b)
	}
}

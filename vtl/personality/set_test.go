package personality

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

func TestBuiltin(t *testing.T) {
	l, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.set(); err != nil {
		t.Fatal(err)
	}
}

// One file per model, named after it.
func TestNamesInFiles(t *testing.T) {
	for _, d := range Builtin().Drives() {
		if _, err := os.Stat(filepath.Join("data/drives", d.Name+".yaml")); err != nil {
			t.Errorf("drive %s: %v", d.Name, err)
		}
	}
	for _, c := range Builtin().Changers() {
		if _, err := os.Stat(filepath.Join("data/changers", c.Name+".yaml")); err != nil {
			t.Errorf("changer %s: %v", c.Name, err)
		}
	}
}

func TestByBarcode(t *testing.T) {
	for _, c := range []struct {
		barcode, media string
		worm           bool
	}{
		{"TG0001L8", "LTO-8", false},
		{"TG0001LY", "LTO-8", true},
		{"TG0001M8", "LTO-M8", false},
		{"TG0001LA", "LTO-10", false},
		{"TG0001LH", "LTO-10", true},
		{"TG0001PA", "LTO-10P", false},
		{"TG0001JD", "3592-JD", false},
		{"TG0001JZ", "3592-JD", true},
		{"TG0001T2", "T10000-T2", false},
		{"CLN001L1", "LTO-Cleaning", false},
		{"CLNU01CU", "LTO-Cleaning", false},
		{"CLN001JA", "3592-Cleaning", false},
		{"CLN001CT", "T10000-Cleaning", false},
		{"TG0001CU", "", false},
		{"TG0001", "", false},
		{"L8", "", false},
	} {
		m, worm, ok := Builtin().ByBarcode(c.barcode)
		if !ok {
			m = &Media{}
		}
		if m.Name != c.media || worm != c.worm {
			t.Errorf("%s is %q, WORM %v", c.barcode, m.Name, worm)
		}
	}
}

// A barcode says one kind of cartridge.
func TestSuffixesApart(t *testing.T) {
	seen := map[string]string{}
	for _, m := range Builtin().AllMedia() {
		for _, s := range append(slices.Clone(m.Suffixes), m.Suffix, m.WORMSuffix) {
			key := s
			if m.Cleaning {
				key = CleaningPrefix + s
			}
			if other, dup := seen[key]; dup && s != "" {
				t.Errorf("%s and %s both have %q", other, m.Name, s)
			}
			seen[key] = m.Name
		}
	}
}

// TestLTFS: the drives that LTFS looks for by vendor, product and microcode level
// (ibm_tape.c, hp_tape.c, quantum_tape.c, ibm_tape.h) are there.
func TestLTFS(t *testing.T) {
	least := map[string]string{"ULT3580-TD5": "B170", "ULTRIUM-TD5": "B170", "ULT3580-TD8": "HB81", "ULTRIUM-TD8": "HB81", "03592E07": "3694"}
	for _, want := range []string{
		"IBM ULT3580-TD5", "IBM ULT3580-TD6", "IBM ULT3580-TD7", "IBM ULT3580-TD8", "IBM ULT3580-TD9", "IBM ULT3580-TDA",
		"IBM ULTRIUM-TD5", "IBM ULTRIUM-TD8", "IBM ULTRIUM-HH7", "IBM ULT3580-HH9", "IBM ULT3580-HHA",
		"IBM 03592E07", "IBM 03592E08", "IBM 0359255F", "IBM 0359260F", "IBM 0359270F",
		"HP Ultrium 5-SCSI", "HP Ultrium 6-SCSI", "HP Ultrium 7-SCSI", "HPE Ultrium 8-SCSI", "HPE Ultrium 9-SCSI",
		"QUANTUM ULTRIUM-HH5", "QUANTUM ULTRIUM-HH9", "QUANTUM ULTRIUM 5", "QUANTUM ULTRIUM 6",
	} {
		i := slices.IndexFunc(Builtin().Drives(), func(d *Drive) bool { return d.Vendor+" "+d.Product == want })
		if i < 0 {
			t.Errorf("no drive is %s", want)
			continue
		}
		d := Builtin().Drives()[i]
		if fw := least[d.Product]; d.Revision < fw {
			t.Errorf("%s: microcode %s is below %s", want, d.Revision, fw)
		}
	}
}

func TestFaults(t *testing.T) {
	files, _ := filepath.Glob("testdata/faults/*.yaml")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "my.yaml"), text, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = Load(dir)
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("not Faults: %v", err)
			}
			got := strings.ReplaceAll(faults.Error(), dir+"/", "") + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".faults"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	text := `drive:
  name: mine
  base: ibm-ult3580-td8
  revision: ZZZZ
  vpd: {C1: "{serial:4}"}
  timing: {load: 1s}
changer: {name: mine, base: stk-l700, product: MINE}
`
	if err := os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := s.Drive("mine")
	if !ok {
		t.Fatal("no drive")
	}
	base, _ := Builtin().Drive("ibm-ult3580-td8")
	if d.Revision != "ZZZZ" || d.Product != base.Product || d.Timing.Load == base.Timing.Load || d.Timing.Rate != base.Timing.Rate {
		t.Errorf("%+v", d)
	}
	if got := d.VPD[0xc1].Append(nil, Facts{Serial: "10"}); string(got) != "10  " {
		t.Errorf("%q", got)
	}
	if d.VPD[0xc0].Len() != base.VPD[0xc0].Len() || base.VPD[0xc1].Len() != 24 {
		t.Error("the pages of the base changed")
	}
	if c, ok := s.Changer("mine"); !ok || c.Product != "MINE" || !c.NoDeviceID {
		t.Errorf("%+v", c)
	}
	if _, err := Load(filepath.Join(dir, "absent")); err == nil {
		t.Error("a directory that is not there gave no error")
	}
}

// Serial numbers in VPD page 80h as the machines have them.
func TestSerial(t *testing.T) {
	for name, want := range map[string]string{
		"ibm-3573-tl":         "00TG12345678_LL0",
		"ibm-03584l32":        "00TG123456780400",
		"quantum-scalar-i500": "QUANTUM 00TG12345678    ",
		"stk-l700":            "00TG12345678",
	} {
		c, _ := Builtin().Changer(name)
		if got := c.Serial("00TG12345678"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// FuzzTemplate: what a text spells has the length that it says, and bounds.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "00 24 'LTO' 20*13", "{serial:12}", "'a'*3{slot:4}ff", "{", "'", "*", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tpl, err := parseTemplate(s)
		if err != nil {
			return
		}
		b := tpl.Append(nil, Facts{Serial: "0123456789", Slot: "1000"})
		if len(b) != tpl.Len() || len(b) > maxBytes {
			t.Errorf("%d bytes of %d", len(b), tpl.Len())
		}
		if plain, err := parseBytes(s); err == nil && !bytes.Equal(plain, b) {
			t.Error("Bytes and Template differ")
		}
	})
}

// FuzzFile: a file is models or Faults in that file, never a panic.
func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/faults/*.yaml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	text, err := os.ReadFile("data/drives/ibm-ult3580-td8.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) {
		l := newLoader()
		l.file("my.yaml", []byte(text))
		_, err := l.set()
		var faults Faults
		if err != nil && !errors.As(err, &faults) {
			t.Fatal(err)
		}
		for _, fault := range faults {
			if fault.File != "my.yaml" || fault.Line < 1 || fault.Col < 1 {
				t.Errorf("%v", fault)
			}
		}
	})
}

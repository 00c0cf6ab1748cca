package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/targate/targate"

// rule says which parts of the tree a part may import, itself always included.
// Test files are free, so that a suite can serve many packages.
type rule struct {
	part string
	may  []string
	why  string
}

// The longest part that is a prefix of a package's path decides. Docs: docs/design.md.
var rules = []rule{
	{"core/scsi", nil, "scsi is words, which everything else may use; it imports nothing of ours"},
	{"core/wire", nil, "wire is bytes, which everything else may use; it imports nothing of ours"},
	{"core/sense", []string{"core/scsi", "core/wire"}, "sense knows words and bytes only"},
	{"core", nil, "the core stands at the bottom: handlers and gateways come to it, never the reverse"},
	{"gateway", []string{"core"}, "a gateway serves any handler: what kinds there are, only cmd knows"},
	{"handlers", []string{"core"}, "a handler knows the core only, so that it works behind every gateway"},
	{"plugins", []string{"core"}, "a plugin knows the core only, so that it works behind every gateway"},
	{"vtl", []string{"core"}, "device kinds do not know each other or how they are reached"},
	{"cdrom", []string{"core"}, "device kinds do not know each other or how they are reached"},
	{"cmd", []string{"core", "gateway", "handlers", "plugins", "vtl", "cdrom"}, "cmd does the wiring; nothing of test ships"},
	{"test", []string{"core", "gateway"}, "the suites use targate from outside, as its users do"},
	{"docs", []string{"core", "gateway", "handlers", "plugins", "vtl", "cdrom"}, "generators may read every table"},
}

func ruleFor(pkg string) (rule, bool) {
	var best rule
	for _, r := range rules {
		if within(pkg, r.part) && len(r.part) > len(best.part) {
			best = r
		}
	}
	return best, best.part != ""
}

func within(pkg, part string) bool { return pkg == part || strings.HasPrefix(pkg, part+"/") }

// broken gives the reason why pkg may not import imp; both are paths in the module.
func broken(pkg, imp string) string {
	r, ok := ruleFor(pkg)
	switch {
	case !ok:
		return "no rule of this test knows where " + pkg + " belongs"
	case within(imp, r.part):
		return ""
	}
	for _, part := range r.may {
		if within(imp, part) {
			return ""
		}
	}
	return r.why
}

func TestImportsPointDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "-tags", "system vm invariants", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	seen := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		pkg := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imp := range p.Imports {
			if imp, ours := strings.CutPrefix(imp, module+"/"); ours {
				if why := broken(pkg, imp); why != "" {
					t.Errorf("%s imports %s: %s", pkg, imp, why)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("go list gave no packages")
	}
}

func TestBroken(t *testing.T) {
	for _, c := range []struct {
		pkg, imp string
		ok       bool
	}{
		{"core/sbc", "core/ops", true},
		{"core/sense", "core/scsi", true},
		{"core/scsi", "core/wire", false},
		{"core", "gateway/target", false},
		{"gateway/iscsi/session", "core/taskset", true},
		{"gateway/manage", "handlers", false},
		{"handlers/filter/delay", "handlers", true},
		{"handlers", "vtl", false},
		{"vtl/ssc", "cdrom", false},
		{"cmd/targate", "handlers", true},
		{"cmd/targate", "test/daemon", false},
		{"corelike", "core", false},
	} {
		if got := broken(c.pkg, c.imp) == ""; got != c.ok {
			t.Errorf("%s imports %s: allowed %v, want %v", c.pkg, c.imp, got, c.ok)
		}
	}
}

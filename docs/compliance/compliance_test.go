package compliance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

//go:generate go test -count=1 -run ^(TestRequirements|TestCommands)$ -update .

var update = flag.Bool("update", false, "write the tables anew")

const root = "../.."

// requirement is one entry of a data file: a heading, or something that a standard demands.
type requirement struct {
	Section string   `yaml:"section"`
	Clause  string   `yaml:"clause"`
	Must    string   `yaml:"must"`
	State   string   `yaml:"state"`
	In      []string `yaml:"in"`
	Tests   []string `yaml:"tests"`
	Note    string   `yaml:"note"`
}

// States of a requirement; README.md says what they mean.
const (
	met           = "met"
	notYet        = "not yet"
	deviation     = "deviation"
	notApplicable = "not applicable"
)

func TestRequirements(t *testing.T) {
	for _, name := range []string{"rfc7143", "rfc7144"} {
		t.Run(name, func(t *testing.T) {
			rows := load[[]requirement](t, name+".yaml")
			for _, r := range rows {
				if r.Section == "" {
					r.check(t)
				}
			}
			fresh(t, name+".md", requirements(name, rows))
		})
	}
}

// load reads a data file; a key that it should not have is a fault.
func load[T any](t *testing.T, file string) (v T) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// fresh compares a table with what it should be, or writes it.
func fresh(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is stale, %v; run: go generate ./docs/compliance", file, err)
	}
}

func (r *requirement) check(t *testing.T) {
	t.Helper()
	fault := func(format string, a ...any) {
		t.Helper()
		t.Errorf("%s, %q: %s", r.Clause, r.Must, fmt.Sprintf(format, a...))
	}
	if r.Clause == "" || r.Must == "" {
		fault("a clause or what it demands is missing")
	}
	switch r.State {
	case met, deviation:
		if len(r.In) == 0 {
			fault("it is %s, but nothing is named that does it", r.State)
		}
		if len(r.Tests) == 0 && r.Note == "" || r.State == deviation && r.Note == "" {
			fault("a note is missing")
		}
	case notYet, notApplicable:
		if r.Note == "" {
			fault("it is %s; a note must say why", r.State)
		}
	default:
		fault("there is no state %q", r.State)
	}
	for _, in := range r.In {
		if err := declared(in); err != nil {
			fault("%v", err)
		}
	}
	for _, test := range r.Tests {
		if err := tested(test); err != nil {
			fault("%v", err)
		}
	}
}

// declared checks FILE:NAME.
func declared(in string) error {
	file, name, ok := strings.Cut(in, ":")
	if !ok {
		return fmt.Errorf("%q is not FILE:NAME", in)
	}
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return err
	}
	re := `(?m)^(?:func (?:\([^)]*\) )?|type |var |const |\t)` + regexp.QuoteMeta(name) + `\b`
	if !regexp.MustCompile(re).Match(b) {
		return fmt.Errorf("%s declares no %s", file, name)
	}
	return nil
}

// tested checks DIRECTORY TEST[/SUBTEST] [FILE[: text of the case]].
func tested(test string) error {
	dir, rest, ok := strings.Cut(test, " ")
	if !ok {
		return fmt.Errorf("%q is not DIRECTORY TEST", test)
	}
	name, file, hasFile := strings.Cut(rest, " ")
	name, sub, _ := strings.Cut(name, "/")
	sources, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		return err
	}
	var found []byte
	for _, s := range sources {
		b, err := os.ReadFile(s)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte("\nfunc "+name+"(")) {
			found = b
		}
	}
	switch {
	case !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz"):
		return fmt.Errorf("%q is no name of a test", name)
	case found == nil:
		return fmt.Errorf("%s has no test %s", dir, name)
	case !bytes.Contains(found, []byte(sub)):
		return fmt.Errorf("%s of %s has no case %s", name, dir, sub)
	case !hasFile:
		return nil
	}
	file, text, _ := strings.Cut(file, ": ")
	b, err := os.ReadFile(filepath.Join(root, dir, file))
	if os.IsNotExist(err) { // a directory of cases
		return err
	}
	if err != nil || !bytes.Contains(b, []byte(text)) {
		return fmt.Errorf("%s/%s has no case %q, %v", dir, file, text, err)
	}
	return nil
}

// written marks a table as generated.
const written = "<!-- Written by go generate ./docs/compliance from %s. -->\n\n"

func requirements(name string, rows []requirement) string {
	count := map[string]int{}
	for _, r := range rows {
		if r.Section == "" {
			count[r.State]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# RFC %s\n\n", strings.TrimPrefix(name, "rfc"))
	fmt.Fprintf(&b, written, "["+name+".yaml]("+name+".yaml)")
	fmt.Fprintf(&b, "[How to read this](README.md). %d met, %d not yet, %d deviations, %d not applicable.\n",
		count[met], count[notYet], count[deviation], count[notApplicable])
	for _, r := range rows {
		if r.Section != "" {
			fmt.Fprintf(&b, "\n## %s\n\n| clause | demands | state | where | tests |\n|---|---|---|---|---|\n", r.Section)
			continue
		}
		state := "**" + r.State + "**"
		if r.State == met {
			state = met
			if len(r.Tests) == 0 {
				state += ", no test"
			}
		}
		if r.Note != "" {
			state += ". " + r.Note
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Clause, r.Must, state, places(r.In), tests(r.Tests))
	}
	return b.String()
}

func places(in []string) string {
	var list []string
	for _, p := range in {
		file, name, _ := strings.Cut(p, ":")
		list = append(list, fmt.Sprintf("[%s](%s/%s)", name, root, file))
	}
	return strings.Join(list, ", ")
}

// tests groups what is named of one package.
func tests(names []string) string {
	var dirs []string
	byDir := map[string][]string{}
	for _, n := range names {
		dir, test, _ := strings.Cut(n, " ")
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		byDir[dir] = append(byDir[dir], test)
	}
	var list []string
	for _, d := range dirs {
		list = append(list, fmt.Sprintf("[%s](%s/%s): %s", d, root, d, strings.Join(byDir[d], "; ")))
	}
	return strings.Join(list, "<br>")
}

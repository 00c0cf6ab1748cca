package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents that TestDocs holds true; compliance and the generated tables have tests
// of their own.
var documents = []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md", "docs/*/*.md"}

const root = ".."

func document(t *testing.T) (files []string) {
	for _, p := range documents {
		m, err := filepath.Glob(filepath.Join(root, p))
		if err != nil || len(m) == 0 {
			t.Fatalf("%s: no such document, %v", p, err)
		}
		files = append(files, m...)
	}
	return files
}

// build builds the program, whose own word counts: what it accepts is right.
func build(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "targate")
	if out, err := exec.Command("go", "build", "-o", exe, module+"/cmd/targate").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// block is a fenced code block of a document.
type block struct{ lang, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func blocks(text string) (list []block) {
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		list = append(list, block{m[1], m[2]})
	}
	return list
}

// TestConfigurations gives every YAML example to targate check.
func TestConfigurations(t *testing.T) {
	exe := build(t)
	secret := regexp.MustCompile(`secret_file: \./([a-z.]+)`)
	for _, file := range document(t) {
		for i, b := range blocks(read(t, file)) {
			if b.lang != "yaml" {
				continue
			}
			dir := t.TempDir()
			for j, m := range secret.FindAllStringSubmatch(b.text, -1) {
				write(t, filepath.Join(dir, m[1]), strings.Repeat(string(rune('a'+j)), 16))
			}
			write(t, filepath.Join(dir, "targate.yaml"), b.text)
			check := exec.Command(exe, "check", "targate.yaml")
			check.Dir = dir
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s, block %d: %v\n%s", file, i, err, out)
			}
		}
	}
}

// called finds what is typed at a shell: the program, its command and the flags.
var called = regexp.MustCompile("(?m)(?:^|`|\\$ |/)targate ([a-z]+)([^`\n|#]*)")

// TestCommandLines asks the program whether it has each command, and each flag of it, that
// a document types.
func TestCommandLines(t *testing.T) {
	exe := build(t)
	help := map[string]string{}
	seen := 0
	for _, file := range document(t) {
		text := read(t, file)
		var code []string
		for _, b := range blocks(text) {
			if b.lang == "sh" || b.lang == "console" {
				code = append(code, b.text)
			}
		}
		code = append(code, regexp.MustCompile("`targate [^`\n]+`").FindAllString(text, -1)...)
		for _, m := range called.FindAllStringSubmatch(strings.Join(code, "\n"), -1) {
			command := m[1]
			ask := func() {
				if _, ok := help[command]; ok {
					return
				}
				out, err := exec.Command(exe, append(strings.Fields(command), "--help")...).CombinedOutput()
				if err != nil {
					t.Errorf("%s types targate %s: %s", file, command, out)
				}
				help[command] = string(out)
			}
			ask()
			if verb := regexp.MustCompile(`^ ([a-z-]+)`).FindStringSubmatch(m[2]); verb != nil && strings.Contains(help[command], "Available Commands:") {
				if !strings.Contains(help[command], "\n  "+verb[1]+" ") {
					t.Errorf("%s types targate %s %s: there is no such command", file, command, verb[1])
				}
				command += " " + verb[1]
				ask()
			}
			seen++
			for _, f := range regexp.MustCompile(` (--?[a-z][a-z-]*)`).FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(help[command], f[1]+" ") && !strings.Contains(help[command], f[1]+",") {
					t.Errorf("%s types targate %s %s, which has no such flag", file, command, f[1])
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no document types the program")
	}
}

// TestMakeTargets wants every `make X` of a document in the Makefile.
func TestMakeTargets(t *testing.T) {
	makefile := read(t, filepath.Join(root, "Makefile"))
	typed := regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z-]*)")
	for _, file := range document(t) {
		for _, m := range typed.FindAllStringSubmatch(read(t, file), -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s types make %s, which the Makefile does not have", file, m[1])
			}
		}
	}
}

// TestLinks follows the relative links of every document, to headings too.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, file := range document(t) {
		text := fence.ReplaceAllString(read(t, file), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			path, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
			}
			info, err := os.Stat(to)
			if err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
				continue
			}
			if heading != "" && !info.IsDir() && !slices.Contains(headings(read(t, to)), heading) {
				t.Errorf("%s links to %s: no such heading", file, m[1])
			}
		}
	}
}

// headings are the anchors that Markdown renderers make of the headings of text.
func headings(text string) (anchors []string) {
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		a := drop.ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, strings.ReplaceAll(a, " ", "-"))
	}
	return anchors
}

// TestNames wants the functions that documents name in the code: in backquotes with (),
// as `Set.Admit()`, and in drawings, as Conn.step.
func TestNames(t *testing.T) {
	declared := functions(t)
	quoted := regexp.MustCompile("`([A-Za-z_.]+)\\(\\)`")
	drawn := regexp.MustCompile(`\b(?:conn|session|Conn|Command|Set|Unit|Port|Handler)\.[A-Za-z]+`)
	for _, file := range document(t) {
		text := read(t, file)
		var names []string
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		for _, b := range blocks(text) {
			if b.lang == "text" {
				names = append(names, drawn.FindAllString(b.text, -1)...)
			}
		}
		for _, n := range names {
			if name := n[strings.LastIndexByte(n, '.')+1:]; name != "mu" && !declared[name] {
				t.Errorf("%s speaks of %s, which is no function in the code", file, n)
			}
		}
	}
}

// functions are the names of all functions and methods of the module.
func functions(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	decl := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|\t)([A-Za-z_]+)[[(]`)
	for _, part := range []string{"cmd", "core", "gateway", "handlers", "test", "vtl"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			for _, m := range decl.FindAllStringSubmatch(read(t, path), -1) {
				names[m[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/gateway/manage/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// TestReference keeps the tables of docs/configuration.md what the program reads.
func TestReference(t *testing.T) {
	const path, mark = "../../docs/configuration.md", "-update -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	written, _, ok := strings.Cut(string(b), mark)
	if !ok {
		t.Fatalf("%s has no line that ends in %q", path, mark)
	}
	want := written + mark + "\n" + config.Reference(deviceKinds(), collections())
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(b) != want {
		t.Errorf("%s is not fresh; run: go test ./cmd/targate -run TestReference -update", path)
	}
}

// TestExamples checks the configurations that we give to users.
func TestExamples(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("no example in docs/configuration.md")
	}
	dir := t.TempDir()
	for name, secret := range map[string]string{"joe.secret": "a secret of joe", "tg.secret": "that of the target"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"docs/configuration.md": example, "demo.yaml": demoConfig} {
		if _, err := config.Parse(name, []byte(text), configOptions(dir)); err != nil {
			t.Error(err)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
)

func TestALUA(t *testing.T) {
	dir := t.TempDir()
	const devices = "devices: [{name: a, handler: mem, size: 1MiB}]\ntargets: [{iqn: 'iqn.2026-11.org.targate:a', luns: {0: a}}]\n"
	d, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir,
		Config: devices + "alua: {implicit: true, groups: [{tag: 1}, {tag: 2, state: offline}]}\n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TARGATE_SOCKET", filepath.Join(dir, "targate.sock"))
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string // a part
	}{
		{"alua list", exitOK, "GROUP  STATE             PREFERRED\n1      active/optimized  false\n2      offline           false\n", ""},
		{"alua set 2 standby", exitOK, "GROUP  STATE             PREFERRED\n1      active/optimized  false\n2      standby           false\n", ""},
		{"alua list -o json", exitOK, `{
  "explicit": false,
  "implicit": true,
  "groups": [
    {
      "tag": 1,
      "state": "active/optimized",
      "preferred": false
    },
    {
      "tag": 2,
      "state": "standby",
      "preferred": false
    }
  ]
}
`, ""},
		{"alua set 3 standby", exitNotFound, "", "no such target port group"},
		{"alua set 2 transitioning", exitUsage, "", "no access state"},
		{"alua set x standby", exitUsage, "", "not a tag"},
		{"alua set 2", exitUsage, "", "accepts 2 arg"},
		{"alua", exitUsage, "", "list or set"},
		{"alua list -o xml", exitUsage, "", "--output"},
	} {
		out, errs, code := program(t, dir, strings.Fields(c.args)...)
		if code != c.code || out != c.stdout || !strings.Contains(errs, c.stderr) {
			t.Errorf("%s: exit code %d, want %d\nstdout %q\nstderr %q", c.args, code, c.code, out, errs)
		}
	}
	if err := os.WriteFile(d.Config, []byte("version: 1\nstate_dir: ./state\niscsi: {portals: ['"+d.Portal+"']}\napi: {listen: ['unix:./targate.sock']}\n"+
		devices+"alua: {implicit: true, groups: [{tag: 1}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := program(t, dir, "apply", d.Config); code != exitConflict || !strings.Contains(errs, "target port group 2 cannot go") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

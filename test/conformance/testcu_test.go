//go:build system

package conformance

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
)

//go:embed skips.txt
var skipsText string

// suiteLimit is for a suite that hangs. The slowest needs a few seconds, but for
// sanitizeReset, which sleeps for a minute, and more under the race detector.
const suiteLimit = 5 * time.Minute

// sanitizeReset wants an overwrite that is still at work after some seconds, and resets the
// target. So it runs on a disk and a target of its own, beside the rest.
const sanitizeReset = "Sanitize.Reset"

const (
	firstName  = "iqn.2026-11.org.targate:first"
	secondName = "iqn.2026-11.org.targate:second"
	chapName   = "iqn.2026-11.org.targate:chap-client" // who sees the target behind CHAP
)

// suites asks the installed iscsi-test-cu what it has: the suites of family ALL in
// order, each with its tests.
func suites(t *testing.T) (names []string, tests map[string][]string) {
	out, err := daemon.Run(suiteLimit, "iscsi-test-cu", "--list")
	if err != nil {
		t.Fatal(err)
	}
	tests = map[string][]string{}
	for line := range strings.Lines(out) {
		switch f := strings.Split(strings.TrimSpace(line), "."); {
		case f[0] != "ALL":
		case len(f) == 2:
			names = append(names, f[1])
		case len(f) == 3:
			tests[f[1]] = append(tests[f[1]], f[1]+"."+f[2])
		}
	}
	if len(names) < 40 {
		t.Fatalf("iscsi-test-cu lists %d suites:\n%s", len(names), out)
	}
	return names, tests
}

// tally counts what iscsi-test-cu did.
type tally struct {
	mu                      sync.Mutex // guards all of it
	skips                   []*listed
	passed, skipped, failed int
}

// fit gives those of tests that are to be run on a class.
func (y *tally) fit(tests []string, class string) []string {
	y.mu.Lock()
	defer y.mu.Unlock()
	fit := slices.DeleteFunc(slices.Clone(tests), func(test string) bool { return unfit(y.skips, test, class) })
	y.skipped += len(tests) - len(fit)
	return fit
}

// judge counts what came out on a class.
func (y *tally) judge(t *testing.T, class string, all []outcome) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, o := range all {
		switch {
		case !o.passed:
			y.failed++
			t.Errorf("%s failed:\n%s", o.test, o.details)
		case len(o.skips) > 0 && allow(y.skips, o.test, class):
			if o.test != around {
				y.skipped++
			}
		case len(o.skips) == 0:
			if o.test != around {
				y.passed++
			}
		default:
			y.failed++
			t.Errorf("%s skips and is not on skips.txt: %s", o.test, o.skips[0])
		}
	}
}

// TestSuites runs every suite of iscsi-test-cu on every class of device. It waits for most
// of its time, so the classes go side by side.
func TestSuites(t *testing.T) {
	skips, err := parseSkips(skipsText)
	if err != nil {
		t.Fatal(err)
	}
	names, tests := suites(t)
	y := &tally{skips: skips}
	var all []string
	for _, c := range classes {
		all = append(all, c.name)
	}
	t.Run("classes", func(t *testing.T) {
		t.Run(sanitizeReset, func(t *testing.T) {
			t.Parallel()
			got := runCU(t, "--allow-sanitize", "--test=ALL."+sanitizeReset, target.URL(iqnSlow, 0))
			if len(got) != 2 {
				t.Errorf("%d tests ran", len(got)-1)
			}
			y.judge(t, sanitizeReset, got)
		})
		for i, c := range classes {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for _, suite := range names {
					t.Run(suite, func(t *testing.T) {
						y.judge(t, c.name, runTests(t, suite, y.fit(tests[suite], c.name), tests[suite], i))
					})
				}
			})
		}
	})
	t.Run("list of skips", func(t *testing.T) {
		for _, s := range stale(skips, all) {
			t.Error(s)
		}
	})
	figure.Report(t, "conformance: %d passed, %d skipped (listed), %d failed", y.passed, y.skipped, y.failed)
}

// runTests runs the tests that fit of all those of a suite: in one go when that is
// all of them.
func runTests(t *testing.T, suite string, fit, all []string, class int) []outcome {
	if len(fit) == len(all) {
		got := runTest(t, suite, suite, class)
		if len(got)-1 != len(all) {
			t.Errorf("%d tests ran of %d", len(got)-1, len(all))
		}
		return got
	}
	var got []outcome
	for _, test := range fit {
		one := runTest(t, suite, test, class)
		if len(one) != 2 {
			t.Errorf("%s did not run", test)
		}
		got = append(got, one...)
	}
	return got
}

// runTest runs what: a suite or a test of it.
func runTest(t *testing.T, suite, what string, class int) []outcome {
	lun := 0
	var args []string
	switch suite {
	case "ReadOnly":
		lun = 1
	case "Sanitize":
		args = append(args, "--allow-sanitize")
	}
	args = append(args, "--test=ALL."+what, target.URL(iqnOf(class), lun))
	if suite == "MultipathIO" {
		// Another target of ours is another path to the same logical unit.
		args = append(args, target.URL(iqnAgainOf(class), lun))
	}
	return runCU(t, args...)
}

// runCU runs iscsi-test-cu.
func runCU(t *testing.T, args ...string) []outcome {
	out, err := daemon.Run(suiteLimit, "iscsi-test-cu", append([]string{"--dataloss", "--verbose",
		"--initiator-name=" + firstName, "--initiator-name-2=" + secondName}, args...)...)
	got := parseCU(out)
	// It exits with 1 too when a test fails, which is told with that test.
	if failed := slices.ContainsFunc(got, func(o outcome) bool { return !o.passed }); err != nil && !failed {
		t.Error(err)
	}
	return got
}

// chapURL is the address of a logical unit behind mutual CHAP, with the header
// digest on.
func chapURL(user, secret, mutual string) string {
	return fmt.Sprintf("iscsi://%s%%%s@%s/%s/%d?target_user=tg&target_password=%s&header_digest=crc32c",
		user, secret, target.Portal, iqnChap, 0, mutual)
}

// TestSuitesCHAP runs the suites about the transport over an authenticated session
// with header digests.
func TestSuitesCHAP(t *testing.T) {
	url := chapURL(user, secret, mutual)
	for _, suite := range []string{"iSCSIcmdsn", "iSCSIdatasn", "iSCSIResiduals", "iSCSITMF", "Read10", "Write10"} {
		out, err := daemon.Run(suiteLimit, "iscsi-test-cu", "--dataloss", "--verbose", "--initiator-name="+chapName, "--test=ALL."+suite, url)
		got := parseCU(out)
		if len(got) < 2 {
			t.Errorf("%s did not run: %v", suite, err)
		}
		for _, o := range got {
			if !o.passed {
				t.Errorf("%s failed:\n%s", o.test, o.details)
			}
		}
	}
}

//go:build system

package conformance

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
)

//go:embed skips.txt
var skipsText string

// suiteLimit is for a suite that hangs; the slowest needs a few seconds.
const suiteLimit = 90 * time.Second

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

// TestSuites runs every suite of iscsi-test-cu on every class of device.
func TestSuites(t *testing.T) {
	skips, err := parseSkips(skipsText)
	if err != nil {
		t.Fatal(err)
	}
	names, tests := suites(t)
	var passed, skipped, failed int
	var ran []string
	for i, c := range classes {
		t.Run(c.name, func(t *testing.T) {
			for _, suite := range names {
				t.Run(suite, func(t *testing.T) {
					fit := slices.DeleteFunc(slices.Clone(tests[suite]), func(test string) bool {
						return unfit(skips, test, c.name)
					})
					skipped += len(tests[suite]) - len(fit)
					for _, o := range runTests(t, suite, fit, tests[suite], i) {
						switch {
						case !o.passed:
							failed++
							t.Errorf("%s failed:\n%s", o.test, o.details)
						case len(o.skips) > 0 && allow(skips, o.test, c.name):
							if o.test != around {
								skipped++
							}
						case len(o.skips) == 0:
							if o.test != around {
								passed++
							}
						default:
							failed++
							t.Errorf("%s skips and is not on skips.txt: %s", o.test, o.skips[0])
						}
					}
				})
			}
		})
		ran = append(ran, c.name)
	}
	t.Run("list of skips", func(t *testing.T) {
		for _, s := range stale(skips, ran) {
			t.Error(s)
		}
	})
	figure.Report(t, "conformance: %d passed, %d skipped (listed), %d failed", passed, skipped, failed)
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
	lun := lunOf(class)
	args := []string{"--dataloss", "--verbose", "--initiator-name=" + firstName, "--initiator-name-2=" + secondName}
	switch suite {
	case "ReadOnly":
		lun = readOnlyOf(class)
	case "Sanitize":
		args = append(args, "--allow-sanitize")
	}
	args = append(args, "--test=ALL."+what, target.URL(iqn, lun))
	if suite == "MultipathIO" {
		// Another target of ours is another path to the same logical unit.
		args = append(args, target.URL(iqnSecond, lun))
	}
	out, err := daemon.Run(suiteLimit, "iscsi-test-cu", args...)
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

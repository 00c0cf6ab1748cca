package conformance

import (
	"bufio"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// around is the name of what iscsi-test-cu does before and after a suite, when it
// clears reservations.
const around = "(around)"

// outcome is what iscsi-test-cu says of one test.
type outcome struct {
	test    string // Suite.Test, or around
	passed  bool
	skips   []string // texts of its [SKIPPED] lines
	details string   // everything that it printed
}

var (
	cuTest   = regexp.MustCompile(`^  Test: (\S+) \.\.\.(.*)$`)
	cuResult = regexp.MustCompile(`^(passed|FAILED)`)
)

// parseCU reads the output of iscsi-test-cu --verbose. The first outcome is around,
// then come the tests in order. A test without a result, as after a crash, is one
// that did not pass.
func parseCU(out string) []outcome {
	all := []outcome{{test: around, passed: true}}
	var suite string
	open := false // the last of all has no result yet
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if s, ok := strings.CutPrefix(line, "Suite: "); ok {
			suite = s
			continue
		}
		if strings.HasPrefix(line, "Run Summary:") {
			break
		}
		if m := cuTest.FindStringSubmatch(line); m != nil {
			all, open = append(all, outcome{test: suite + "." + m[1]}), true
			line = m[2]
		}
		o := &all[len(all)-1]
		o.details += line + "\n"
		if m := cuResult.FindStringSubmatch(line); m != nil && open {
			o.passed, open = m[1] == "passed", false
		}
		if _, why, ok := strings.Cut(line, "[SKIPPED] "); ok {
			if !open {
				o = &all[0]
			}
			o.skips = append(o.skips, why)
		}
	}
	return all
}

// listed is one entry of skips.txt.
type listed struct {
	line    int
	test    string // Suite.Test, or Suite.* for all of a suite
	class   string // patterns of device classes, comma between
	reason  string
	unfit   bool            // the test is not run at all
	matched map[string]bool // classes in which the test did skip
}

// parseSkips reads lines of the form
//
//	Suite.Test  class pattern[,class pattern...]  reason
//
// separated by two blanks or more. A # begins a comment, a ! before the test one that
// is unfit: it would fail for a reason of its own, and is not run.
func parseSkips(text string) ([]*listed, error) {
	var all []*listed
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := regexp.MustCompile(`\s{2,}`).Split(line, 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("skips.txt:%d: want test, classes and reason, two blanks apart", i+1)
		}
		if _, err := path.Match(f[1], ""); err != nil {
			return nil, fmt.Errorf("skips.txt:%d: pattern %q: %w", i+1, f[1], err)
		}
		test, unfit := strings.CutPrefix(f[0], "!")
		all = append(all, &listed{line: i + 1, test: test, unfit: unfit, class: f[1], reason: f[2], matched: map[string]bool{}})
	}
	return all, nil
}

// on tells whether one of the patterns matches a class.
func (l *listed) on(class string) bool {
	for p := range strings.SplitSeq(l.class, ",") {
		if ok, _ := path.Match(p, class); ok { // parseSkips has checked the pattern
			return true
		}
	}
	return false
}

func (l *listed) covers(test, class string) bool {
	ok := l.on(class)
	if suite, all := strings.CutSuffix(l.test, ".*"); all {
		return ok && strings.HasPrefix(test, suite+".")
	}
	return ok && l.test == test
}

// allow marks the entry that lets a test skip in a class; false if there is none.
func allow(list []*listed, test, class string) bool {
	found := false
	for _, l := range list {
		if !l.unfit && l.covers(test, class) {
			l.matched[class] = true
			found = true
		}
	}
	return found
}

// unfit tells whether a test is not to be run on a class.
func unfit(list []*listed, test, class string) bool {
	for _, l := range list {
		if l.unfit && l.covers(test, class) {
			l.matched[class] = true
			return true
		}
	}
	return false
}

// stale gives the entries that cover a class of classes but skip there no more.
func stale(list []*listed, classes []string) []string {
	var out []string
	for _, l := range list {
		covered := 0
		for _, class := range classes {
			if !l.on(class) {
				continue
			}
			covered++
			if !l.matched[class] {
				out = append(out, fmt.Sprintf("skips.txt:%d: %s is not skipped on %s", l.line, l.test, class))
			}
		}
		if covered == 0 {
			out = append(out, fmt.Sprintf("skips.txt:%d: no class matches %s", l.line, l.class))
		}
	}
	return out
}

package fault

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Op is an operation of a drive, or of the robot.
type Op string

// Operations.
const (
	OpRead      Op = "read"
	OpWrite     Op = "write"
	OpFilemark  Op = "filemark"
	OpFlush     Op = "flush"
	OpErase     Op = "erase"
	OpFormat    Op = "format"
	OpAttribute Op = "attribute"
	OpLoad      Op = "load"
	OpUnload    Op = "unload"
	OpLocate    Op = "locate"
	OpRewind    Op = "rewind"
	OpClean     Op = "clean"

	OpMove Op = "move" // a cartridge, by the robot
	OpScan Op = "scan" // barcodes, by the robot
)

var allOps = []Op{OpRead, OpWrite, OpFilemark, OpFlush, OpErase, OpFormat, OpAttribute, OpLoad, OpUnload, OpLocate, OpRewind, OpClean}

// robotOps are those of the robot, which a rule acts on only when it names them.
var robotOps = []Op{OpMove, OpScan}

// placed are the operations at a logical object: only to these do partition and object apply.
var placed = []Op{OpRead, OpWrite, OpFilemark, OpErase, OpLocate}

// Scenario is rules, as Parse read them.
type Scenario struct {
	seed  uint64
	rules []rule
}

// rule is one rule.
type rule struct {
	text string // as it was written
	verb *verb

	ops         []Op
	drive       int // 0: any
	tape        string
	partition   int // -1: any
	first, last uint64
	ranged      bool // object was given
	after       int64
	while       string

	nth, every, times uint64 // 0: not given
	rate              float64

	class  string
	time   time.Duration
	flag   int
	number uint64
}

// verb is a row of the table of rules: the keys that it needs, and how their values are read.
type verb struct {
	name  string
	needs []string
}

var verbs = []verb{
	{"seed", []string{"value"}},
	{"fail", []string{"class"}},
	{"delay", []string{"time"}},
	{"hold", []string{"while"}},
	{"alert", []string{"flag"}},
	{"clean", nil},
	{"drop", nil},
}

// key is a row of the table of keys.
type key struct {
	name string
	read func(r *rule, v string) error
}

var keys = []key{
	{"op", func(r *rule, v string) error {
		r.ops = nil
		for name := range strings.SplitSeq(v, ",") {
			if known := slices.Concat(allOps, robotOps); !slices.Contains(known, Op(name)) {
				return fmt.Errorf("op %q is not one of %s", name, join(known))
			}
			r.ops = append(r.ops, Op(name))
		}
		return nil
	}},
	{"drive", func(r *rule, v string) (err error) { r.drive, err = number("drive", v, 1, math.MaxUint16); return err }},
	{"tape", func(r *rule, v string) error {
		r.tape = v
		_, err := path.Match(v, "")
		return err
	}},
	{"partition", func(r *rule, v string) (err error) { r.partition, err = number("partition", v, 0, 3); return err }},
	{"object", func(r *rule, v string) error {
		from, to, span := strings.Cut(v, "..")
		if !span {
			to = from
		}
		var err1, err2 error
		r.first, err1 = strconv.ParseUint(from, 0, 64)
		r.last, err2 = strconv.ParseUint(to, 0, 64)
		if r.ranged = true; err1 != nil || err2 != nil || r.last < r.first {
			return fmt.Errorf("object is a logical object or a range of them as in 100..200, not %q", v)
		}
		return nil
	}},
	{"after", func(r *rule, v string) (err error) { r.after, err = size(v); return err }},
	{"while", func(r *rule, v string) error {
		if r.while = v; !filepath.IsAbs(v) {
			return fmt.Errorf("while is an absolute path, not %q", v)
		}
		return nil
	}},
	{"nth", func(r *rule, v string) (err error) { r.nth, err = count("nth", v); return err }},
	{"every", func(r *rule, v string) (err error) { r.every, err = count("every", v); return err }},
	{"times", func(r *rule, v string) (err error) { r.times, err = count("times", v); return err }},
	{"rate", func(r *rule, v string) (err error) {
		if r.rate, err = strconv.ParseFloat(v, 64); err != nil || !(r.rate > 0 && r.rate <= 1) {
			return fmt.Errorf("rate is above 0 and at most 1, not %q", v)
		}
		return nil
	}},
	{"class", func(r *rule, v string) error {
		if r.class = v; classes[v] == nil {
			return fmt.Errorf("class %q is not one of %s", v, join(classNames))
		}
		return nil
	}},
	{"time", func(r *rule, v string) (err error) {
		if r.time, err = time.ParseDuration(v); err != nil || r.time <= 0 {
			return fmt.Errorf("time is a duration as 5ms or 2m, not %q", v)
		}
		return nil
	}},
	{"flag", func(r *rule, v string) (err error) { r.flag, err = number("flag", v, 1, 64); return err }},
	{"value", func(r *rule, v string) (err error) {
		if r.number, err = strconv.ParseUint(v, 0, 64); err != nil {
			return fmt.Errorf("value is a number, not %q", v)
		}
		return nil
	}},
}

// own are the keys that only a verb which needs them has.
var own = []string{"class", "time", "flag", "value"}

func join[S ~string](list []S) string {
	var s []string
	for _, x := range list {
		s = append(s, string(x))
	}
	return strings.Join(s, ", ")
}

func number(name, v string, low, high int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s is a number from %d to %d, not %q", name, low, high, v)
	}
	return n, nil
}

func count(name, v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s is a number above zero, not %q", name, v)
	}
	return n, nil
}

// size reads bytes, with a unit of KiB to EiB or without.
func size(v string) (int64, error) {
	digits, shift := v, 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if s, ok := strings.CutSuffix(v, unit); ok {
			digits, shift = s, 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || bits.Len64(n)+shift > 63 {
		return 0, fmt.Errorf("after is a size as 512 or 10GiB, not %q", v)
	}
	return int64(n << shift), nil
}

// LineError is a mistake in a scenario.
type LineError struct {
	Line int // from 1 on
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap is what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// Parse reads a scenario. The error joins a *LineError for each rule that is wrong. No
// rules at all are a scenario, too.
func Parse(text string) (*Scenario, error) {
	s := &Scenario{}
	var errs []error
	line := 0
	for l := range strings.SplitSeq(text, "\n") {
		line++
		l, _, _ = strings.Cut(l, "#")
		for part := range strings.SplitSeq(l, ";") {
			words := strings.Fields(part)
			if len(words) == 0 {
				continue
			}
			r, err := parseRule(words)
			switch {
			case err != nil:
				errs = append(errs, &LineError{line, fmt.Errorf("%q: %w", strings.TrimSpace(part), err)})
			case r.verb.name == "seed":
				s.seed = r.number
			default:
				s.rules = append(s.rules, r)
			}
		}
	}
	return s, errors.Join(errs...)
}

// Load reads the scenario in a file. Its errors begin with the name of the file.
func Load(file string) (*Scenario, error) {
	const maxLen = 1 << 20
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxLen {
		return nil, fmt.Errorf("%s: %d bytes; a scenario has at most %d", file, st.Size(), maxLen)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s, err := Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

func parseRule(words []string) (rule, error) {
	r := rule{text: strings.Join(words, " "), ops: allOps, partition: -1, last: math.MaxUint64}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == words[0] })
	if i < 0 {
		var names []string
		for _, v := range verbs {
			names = append(names, v.name)
		}
		return r, fmt.Errorf("a rule begins with one of %s", join(names))
	}
	r.verb = &verbs[i]
	seen := map[string]bool{}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok || value == "" {
			return r, fmt.Errorf("%q is not key=value", w)
		}
		k := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		needed := slices.Contains(r.verb.needs, name)
		if k < 0 || !needed && (slices.Contains(own, name) || r.verb.name == "seed") {
			return r, fmt.Errorf("%s has no key %q", r.verb.name, name)
		}
		if seen[name] {
			return r, fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if err := keys[k].read(&r, value); err != nil {
			return r, err
		}
	}
	for _, name := range r.verb.needs {
		if !seen[name] {
			return r, fmt.Errorf("%s needs the key %q", r.verb.name, name)
		}
	}
	return r, nil
}

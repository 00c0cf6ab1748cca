package filter

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// op is one method of a block.Store.
type op string

// Methods that rules can name.
const (
	read   op = "read"
	write  op = "write"
	flush  op = "flush"
	zero   op = "zero"
	unmap  op = "unmap"
	extent op = "extent"
)

var ops = []op{read, write, flush, zero, unmap, extent}

// call is one call of a store; lba and blocks are zero for flush.
type call struct {
	op          op
	lba, blocks int64
}

// action is what a rule does around the rest of a call.
type action func(c call, rest func() error) error

// Rule is one rule, as Parse read it.
type Rule struct {
	ops         []op
	first, last int64
	while       string
	make        func() (act action, end func() error, err error)
}

// verb is a row of the table of rules: the keys that it needs, and how it is made of
// their values.
type verb struct {
	name  string
	needs []string
	parse func(r *Rule, v map[string]string) error
}

var verbs = []verb{
	{"hold", []string{"while"}, parseHold},
	{"delay", []string{"time"}, parseDelay},
	{"fail", []string{"class"}, parseFail},
	{"trace", []string{"to"}, parseTrace},
}

// common are the keys that every rule may have.
var common = []string{"op", "lba", "while"}

// Parse reads rules. The error names each rule that is wrong, and says why.
func Parse(text string) ([]Rule, error) {
	var rules []Rule
	var errs []error
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		r, err := parseRule(words)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", strings.TrimSpace(part), err))
			continue
		}
		rules = append(rules, r)
	}
	if len(rules) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("there is no rule in it"))
	}
	return rules, errors.Join(errs...)
}

func parseRule(words []string) (Rule, error) {
	r := Rule{ops: ops, last: math.MaxInt64}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == words[0] })
	if i < 0 {
		return r, fmt.Errorf("a rule begins with hold, delay, fail or trace, not %q", words[0])
	}
	v := verbs[i]
	values := map[string]string{}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok || value == "" {
			return r, fmt.Errorf("%q is not key=value", w)
		}
		if !slices.Contains(common, key) && !slices.Contains(v.needs, key) {
			return r, fmt.Errorf("%s has no key %q", v.name, key)
		}
		if _, twice := values[key]; twice {
			return r, fmt.Errorf("%q is there twice", key)
		}
		values[key] = value
	}
	for _, key := range v.needs {
		if values[key] == "" {
			return r, fmt.Errorf("%s needs the key %q", v.name, key)
		}
	}
	if err := r.parseCommon(values); err != nil {
		return r, err
	}
	return r, v.parse(&r, values)
}

func (r *Rule) parseCommon(values map[string]string) error {
	if s, ok := values["op"]; ok {
		r.ops = nil
		for name := range strings.SplitSeq(s, ",") {
			if !slices.Contains(ops, op(name)) {
				return fmt.Errorf("op %q is not one of read, write, flush, zero, unmap, extent", name)
			}
			r.ops = append(r.ops, op(name))
		}
	}
	if s, ok := values["lba"]; ok {
		from, to, span := strings.Cut(s, "..")
		if !span {
			to = from
		}
		var err1, err2 error
		r.first, err1 = strconv.ParseInt(from, 0, 64)
		r.last, err2 = strconv.ParseInt(to, 0, 64)
		if err1 != nil || err2 != nil || r.first < 0 || r.last < r.first {
			return fmt.Errorf("lba is a block or a range of blocks as in 100..200, not %q", s)
		}
	}
	r.while = values["while"]
	return absolute("while", r.while)
}

// absolute wants a path that means the same whoever reads it.
func absolute(key, path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("%s is an absolute path, not %q", key, path)
	}
	return nil
}

// applies reports whether the rule is for c now.
func (r *Rule) applies(c call) bool {
	if !slices.Contains(r.ops, c.op) {
		return false
	}
	if c.op != flush && (c.lba > r.last || c.lba+max(c.blocks, 1)-1 < r.first) {
		return false
	}
	return r.while == "" || exists(r.while)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

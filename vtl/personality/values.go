package personality

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxItems bounds a list of a data file.
const maxItems = 1024

// value reads n into v, whose type says how.
func (r *reader) value(n ast.Node, name string, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *Bytes:
		scan(r, n, name, p, parseBytes)
		return
	case *Template:
		scan(r, n, name, p, parseTemplate)
		return
	case *time.Duration:
		scan(r, n, name, p, parseDuration)
		return
	case *int64:
		scan(r, n, name, p, parseSize)
		return
	case *string:
		scan(r, n, name, p, func(s string) (string, error) { return s, nil })
		return
	case *bool:
		scan(r, n, name, p, func(s string) (bool, error) {
			if s != "true" && s != "false" {
				return false, fmt.Errorf("%q is neither true nor false", s)
			}
			return s == "true", nil
		})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		r.object(n, name, v)
	case reflect.Map:
		r.mapping(n, name, v)
	case reflect.Slice:
		s, ok := n.(*ast.SequenceNode)
		if !ok || len(s.Values) > maxItems {
			r.fault(at(n), "%s is a list of at most %d", name, maxItems)
			return
		}
		list := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
		for i, item := range s.Values {
			r.value(item, name, list.Index(i))
		}
		v.Set(list)
	default:
		var u uint64
		bits := v.Type().Bits()
		if v.CanInt() {
			bits = 31 // no number of a model is negative or larger
		}
		if !scan(r, n, name, &u, func(s string) (uint64, error) { return parseNumber(s, bits) }) {
			return
		}
		if v.CanInt() {
			v.SetInt(int64(u))
		} else {
			v.SetUint(u)
		}
	}
}

// mapping reads n over the map v: keys that it does not name stay. A value is never shared
// with the map that v was copied from.
func (r *reader) mapping(n ast.Node, name string, v reflect.Value) {
	pairs, ok := r.pairs(n, name)
	if !ok {
		return
	}
	m := reflect.MakeMap(v.Type())
	for it := v.MapRange(); it.Next(); {
		m.SetMapIndex(it.Key(), it.Value())
	}
	for _, p := range pairs {
		key, _ := scalar(p.Key)
		k := reflect.New(v.Type().Key()).Elem()
		if k.Kind() == reflect.String {
			k.SetString(key)
		} else {
			code, err := strconv.ParseUint(key, 16, 8)
			if err != nil || len(key) != 2 {
				r.fault(at(p.Key), "a key of %s is two hexadecimal digits, not %q", name, key)
				continue
			}
			k.SetUint(code)
		}
		e := reflect.New(v.Type().Elem()).Elem()
		r.value(p.Value, name+" "+key, e)
		m.SetMapIndex(k, e)
	}
	v.Set(m)
}

// scan reads the plain value n into p with parse.
func scan[T any](r *reader, n ast.Node, name string, p *T, parse func(string) (T, error)) bool {
	s, ok := scalar(n)
	if !ok {
		r.fault(at(n), "%s is a plain value", name)
		return false
	}
	v, err := parse(s)
	if err != nil {
		r.fault(at(n), "%s: %v", name, err)
		return false
	}
	*p = v
	return true
}

func parseNumber(s string, bits int) (uint64, error) {
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	u, err := strconv.ParseUint(digits, base, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number up to %d, decimal or 0x and hexadecimal", s, uint64(1)<<bits-1)
	}
	return u, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%q is not a time up to 24h, such as 17s or 1m30s", s)
	}
	return d, nil
}

// Capacities of tapes are decimal (SSC-5, 7.14), those of memories binary.
var units = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = d, u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a number of bytes, kB, MB, GB, TB, KiB, MiB, GiB or TiB", s)
	}
	return n * unit, nil
}

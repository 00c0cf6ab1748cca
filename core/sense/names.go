package sense

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed asc.txt
var ascTable string

// anyQualifier marks the entry of a family (40h/NNh) in the parsed table: its
// qualifier is data and has no line of its own.
const anyQualifier = 1 << 16

// names parses asc.txt on the first use: only logs and management print names.
var names = sync.OnceValue(func() map[uint32]string {
	m, err := parseNames(ascTable)
	if err != nil {
		panic(err) // a fault of the source tree; TestNames finds it
	}
	return m
})

func parseNames(text string) (map[uint32]string, error) {
	m := map[uint32]string{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		code, name, ok := strings.Cut(line, "\t")
		if !ok || len(code) != 4 || name == "" {
			return nil, fmt.Errorf("asc.txt:%d: want CODE, a tab, NAME", i+1)
		}
		family := uint32(0)
		if strings.HasSuffix(code, "NN") {
			code, family = code[:2]+"00", anyQualifier
		}
		n, err := strconv.ParseUint(code, 16, 16)
		if err != nil {
			return nil, fmt.Errorf("asc.txt:%d: %w", i+1, err)
		}
		key := uint32(n) | family
		if _, dup := m[key]; dup {
			return nil, fmt.Errorf("asc.txt:%d: %s is listed twice", i+1, code)
		}
		m[key] = name
	}
	return m, nil
}

// Name is the T10 name of the code, "" for one that the T10 list does not hold.
// The NN of a family's name is replaced by the qualifier.
func (c Code) Name() string {
	if n := names()[uint32(c)]; n != "" {
		return n
	}
	n := names()[uint32(c)&0xff00|anyQualifier]
	n, _, _ = strings.Cut(n, " (")
	return strings.Replace(n, "NN", fmt.Sprintf("%02Xh", c.ASCQ()), 1)
}

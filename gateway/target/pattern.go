package target

import "strings"

// Patterns name initiators: * stands for any run of characters, ? for one, case does
// not count. A leading ! excludes; a list of exclusions alone begins with everyone.
type Patterns []string

// Match reports whether name is one of those that p names.
func (p Patterns) Match(name string) bool {
	name = strings.ToLower(name)
	found, positive := false, false
	for _, s := range p {
		s = strings.ToLower(s)
		if rest, not := strings.CutPrefix(s, "!"); not {
			if match(rest, name) {
				return false
			}
			continue
		}
		positive = true
		found = found || match(s, name)
	}
	return found || !positive && len(p) > 0
}

// match is a glob match in linear space and at most quadratic time.
func match(pattern, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

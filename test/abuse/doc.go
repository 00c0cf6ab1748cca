// Package abuse shows that targate stays within its means: many logins leave nothing
// behind, many sessions stay within the budget of memory, and hostile peers leave the
// others at work.
package abuse

// Package statedir keeps what must survive a restart: small files, each replaced as a
// whole. After Save returns, a crash or a power cut leaves the new value; before, the
// old or the new, never a mixture. docs/formats/state.md gives the bytes.
package statedir

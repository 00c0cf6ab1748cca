// Package text is the text format of iSCSI: key=value pairs as login and text
// negotiation carry them (RFC 7143, 6.1), and the Text Request of the full
// feature phase (11.10, 11.11), SendTargets first of all (appendix C). The keys
// that a login negotiates are package login's.
package text

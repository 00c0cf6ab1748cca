// Package test holds what no package of its own could: checks of the whole tree, and
// below it the suites that use real clients. Nothing imports it.
package test

// Package config is the configuration file, version 1: its model, and a strict reader
// that reports every fault with file, line and column, and what would be right.
//
// Each mapping of the file is described by one table of fields (schema.go). The
// reader, the "did you mean", and the reference in docs/configuration.md all come from
// these tables. What devices there are is given by the caller as a list of Kind.
package config

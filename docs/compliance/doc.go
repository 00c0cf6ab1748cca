// Package compliance keeps the tables of this directory true: they are written from data
// files and from the command rows, and the functions, tests and cases that they name exist.
package compliance

// Package smc is a medium changer (SMC-3): a core.Handler over a library.
package smc

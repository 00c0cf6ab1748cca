// Package ssc is a tape drive (SSC-5): a core.Handler over a medium.Medium.
package ssc

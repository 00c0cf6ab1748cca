package spc

type buffers struct{}

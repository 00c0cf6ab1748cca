package ssc

import "github.com/targate/targate/vtl/medium"

// recording is how blocks are to be recorded now.
func (d *Drive) recording() medium.Recording {
	return medium.Recording{Compress: d.settings.compress.Load()}
}

// key is what decrypts what is read, nil: nothing.
func (d *Drive) key() *medium.Key { return nil }

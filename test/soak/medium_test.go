//go:build system

package soak

import (
	"bytes"
	"fmt"
)

// medium is the model of the blocks of one session on one disk.
type medium struct {
	lun   uint16
	size  int // bytes of a block
	first int // LBA
	// may has for each block what it may hold: one value, more after writes whose end
	// is not known.
	may [][][]byte
}

func newMedium(lun uint16, size, first, n int) *medium {
	m := &medium{lun: lun, size: size, first: first, may: make([][][]byte, n)}
	for i := range m.may {
		m.may[i] = [][]byte{make([]byte, size)}
	}
	return m
}

// wrote notes that data was written at block at, or may have been.
func (m *medium) wrote(at int, data []byte, sure bool) {
	for ; len(data) > 0; at, data = at+1, data[m.size:] {
		block := bytes.Clone(data[:m.size])
		if sure {
			m.may[at] = m.may[at][:0]
		}
		m.may[at] = append(m.may[at], block)
	}
}

// read compares data with the model. What a block was found to hold, it holds.
func (m *medium) read(at int, data []byte) error {
	for ; len(data) > 0; at, data = at+1, data[m.size:] {
		found := false
		for _, b := range m.may[at] {
			if bytes.Equal(b, data[:m.size]) {
				m.may[at], found = [][]byte{b}, true
				break
			}
		}
		if !found {
			return fmt.Errorf("MISCOMPARE: LUN %d block %d holds %x..., and may hold one of %d values, first %x...",
				m.lun, m.first+at, data[:16], len(m.may[at]), m.may[at][0][:16])
		}
	}
	return nil
}

// sure is the content of n blocks, which must have been read.
func (m *medium) sure(at, n int) []byte {
	var all []byte
	for _, b := range m.may[at : at+n] {
		all = append(all, b[0]...)
	}
	return all
}

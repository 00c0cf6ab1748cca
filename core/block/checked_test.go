//go:build invariants

package block

import (
	"fmt"
	"strings"
	"testing"
)

// rough is a store that does what it is told to do wrong.
type rough struct {
	data  []byte
	kept  []byte
	wrong string
}

func (r *rough) Info() Info { return Info{Size: int64(len(r.data))} }
func (r *rough) ReadAt(p []byte, off int64, _ Flags) error {
	if r.wrong == "would block" {
		return fmt.Errorf("read: %w", ErrWouldBlock)
	}
	copy(p, r.data[off:])
	return nil
}
func (r *rough) WriteAt(p []byte, _ int64, _ Flags) error { r.kept = p; return nil }
func (r *rough) Flush() error                             { return nil }
func (r *rough) Zero(_, _ int64, _ Flags) error           { return nil }
func (r *rough) Unmap(_, _ int64, _ Flags) error          { return nil }
func (r *rough) Extent(off, n int64) (Extent, error)      { return Extent{Off: off, Len: n}, nil }
func (r *rough) Close() error                             { return nil }
func (r *rough) Lend(dst [][]byte, off, n int64) ([][]byte, Releaser, bool) {
	return append(dst, r.data[off:off+n]), nil, true
}

func TestChecked(t *testing.T) {
	for _, c := range []struct {
		want  string // in the panic
		wrong string // of the store
		do    func(s Store, r *rough)
	}{
		{"read of 512 bytes at 4096 of 4096", "", func(s Store, _ *rough) { s.ReadAt(make([]byte, 512), 4096, 0) }},
		{"no whole blocks", "", func(s Store, _ *rough) { s.ReadAt(make([]byte, 100), 0, 0) }},
		{"NoWait", "", func(s Store, _ *rough) { s.WriteAt(make([]byte, 512), 0, NoWait) }},
		{"MayUnmap", "", func(s Store, _ *rough) { s.Zero(0, 512, MayUnmap) }},
		{"unmap, which", "", func(s Store, _ *rough) { s.Unmap(0, 512, 0) }},
		{"extent, which", "", func(s Store, _ *rough) { s.Extent(0, 512) }},
		{"would block", "would block", func(s Store, _ *rough) { s.ReadAt(make([]byte, 512), 0, 0) }},
		{"twice", "", func(s Store, _ *rough) {
			_, r, _ := s.(Lender).Lend(nil, 0, 512)
			r.Release()
			r.Release()
		}},
		{"has changed", "", func(s Store, r *rough) {
			_, l, _ := s.(Lender).Lend(nil, 0, 512)
			r.data[5] = 1
			l.Release()
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			r := &rough{data: make([]byte, 4096), wrong: c.wrong}
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("the panic is %q", got)
				}
			}()
			c.do(Checked(r, 512), r)
		})
	}
	r := &rough{data: make([]byte, 4096)}
	p := []byte(strings.Repeat("x", 512))
	if err := Checked(r, 512).WriteAt(p, 0, 0); err != nil || p[0] != 'x' || r.kept[0] == 'x' {
		t.Errorf("%v; the buffer that the store kept is not mangled: %q", err, r.kept[0])
	}
}

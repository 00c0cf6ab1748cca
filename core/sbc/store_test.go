package sbc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

const testGranularity = 4096

// testStore is a small store that can be told to fail, to refuse and to wait.
type testStore struct {
	info block.Info

	mu      sync.Mutex
	data    []byte
	mapped  []bool // per testGranularity
	flushes int
	fuas    int
	calls   []string

	// hook, when set, is called before each operation, without mu; an error ends it.
	hook func(op string, off, n int64, f block.Flags) error
}

func newTestStore(size int64) *testStore {
	return &testStore{
		info: block.Info{Size: size, Granularity: testGranularity, PhysicalBlock: 512, Unmap: block.Native,
			Extents: block.Native, Volatile: true, NoWait: block.Native, Align: 1},
		data:   make([]byte, size),
		mapped: make([]bool, size/testGranularity),
	}
}

func (s *testStore) Info() block.Info { return s.info }

func (s *testStore) enter(op string, off, n int64, f block.Flags) error {
	if s.hook != nil {
		if err := s.hook(op, off, n, f); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if f&block.FUA != 0 {
		s.fuas++
	}
	s.calls = append(s.calls, fmt.Sprintf("%s %d+%d", op, off, n))
	return block.CheckRange(op, off, n, int64(len(s.data)))
}

func (s *testStore) ReadAt(p []byte, off int64, f block.Flags) error {
	err := s.enter("read", off, int64(len(p)), f)
	if err == block.ErrWouldBlock {
		return err
	}
	defer s.unlock(&err)
	if err == nil {
		copy(p, s.data[off:])
	}
	return err
}

// unlock ends what enter began, unless the hook had ended it.
func (s *testStore) unlock(err *error) {
	var hooked hookError
	if !errors.As(*err, &hooked) {
		s.mu.Unlock()
	}
}

// hookError is what a hook returns, so that unlock knows.
type hookError struct{ error }

func (e hookError) Unwrap() error { return e.error }

func fail(err error) func(string, int64, int64, block.Flags) error {
	return func(string, int64, int64, block.Flags) error { return hookError{err} }
}

func (s *testStore) WriteAt(p []byte, off int64, f block.Flags) error {
	err := s.enter("write", off, int64(len(p)), f)
	if err == block.ErrWouldBlock {
		return err
	}
	defer s.unlock(&err)
	if err == nil {
		copy(s.data[off:], p)
		for i := off / testGranularity; i*testGranularity < off+int64(len(p)); i++ {
			s.mapped[i] = true
		}
	}
	return err
}

func (s *testStore) Flush() error {
	err := s.enter("flush", 0, 0, 0)
	defer s.unlock(&err)
	s.flushes++
	return err
}

func (s *testStore) Zero(off, n int64, f block.Flags) error {
	err := s.enter("zero", off, n, f)
	defer s.unlock(&err)
	if err == nil {
		clear(s.data[off : off+n])
	}
	return err
}

func (s *testStore) Unmap(off, n int64, f block.Flags) error {
	err := s.enter("unmap", off, n, f)
	defer s.unlock(&err)
	if err == nil {
		clear(s.data[off : off+n])
		for i := (off + testGranularity - 1) / testGranularity; (i+1)*testGranularity <= off+n; i++ {
			s.mapped[i] = false
		}
	}
	return err
}

func (s *testStore) Extent(off, n int64) (block.Extent, error) {
	err := s.enter("extent", off, n, 0)
	defer s.unlock(&err)
	if err != nil {
		return block.Extent{}, err
	}
	e := block.Extent{Off: off, Data: s.mapped[off/testGranularity]}
	for e.Len < n && s.mapped[(off+e.Len)/testGranularity] == e.Data {
		e.Len = min(n, (off+e.Len)/testGranularity*testGranularity+testGranularity-off)
	}
	return e, nil
}

func (s *testStore) Resize(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size < int64(len(s.data)) {
		return errors.New("does not shrink")
	}
	s.data = append(s.data, make([]byte, size-int64(len(s.data)))...)
	s.mapped = append(s.mapped, make([]bool, size/testGranularity-int64(len(s.mapped)))...)
	return nil
}

func (s *testStore) Usage() (block.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := int64(0)
	for _, m := range s.mapped {
		if m {
			used += testGranularity
		}
	}
	return block.Usage{Used: used, Available: int64(len(s.data)) - used}, nil
}

func (s *testStore) Close() error { return nil }

func (s *testStore) count(p *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *p
}

// rig is a disk over a testStore and an initiator.
type rig struct {
	t     testing.TB
	store *testStore
	disk  *Disk
	unit  *core.Unit
	path  *core.Path
}

const rigBlocks = 2048 // of 512 bytes

func testConfig() Config {
	return Config{BlockSize: 512, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Identity: core.Identity{Vendor: "TARGATE", Product: "Disk", Revision: "0001", Serial: "1",
			NAA: [8]byte{0x30, 0, 0, 0, 0, 0, 0, 1}}}
}

// newRig makes one; change may alter the configuration and the store's info.
func newRig(t testing.TB, change func(*Config, *testStore)) *rig {
	t.Helper()
	return newRigState(t, &coretest.State{}, change)
}

func newRigState(t testing.TB, state core.State, change func(*Config, *testStore)) *rig {
	t.Helper()
	r := &rig{t: t, store: newTestStore(rigBlocks * 512)}
	cfg := testConfig()
	if change != nil {
		change(&cfg, r.store)
	}
	var err error
	if r.disk, err = New(r.store, cfg); err != nil {
		t.Fatal(err)
	}
	r.unit = coretest.NewUnit(t, r.disk, state)
	r.path = coretest.NewPath(t, r.unit)
	return r
}

// do runs a command without an expected length, as long as its Data-Out.
func (r *rig) do(cdb, out []byte) coretest.Result {
	r.t.Helper()
	return coretest.Do(r.path, cdb, out, coretest.AnyLength)
}

// good is do of what must succeed.
func (r *rig) good(cdb, out []byte) []byte {
	r.t.Helper()
	res := r.do(cdb, out)
	if !res.Good() {
		r.t.Fatalf("% x: %v", cdb, res)
	}
	return res.Data
}

// bad is do of what must fail with k and c.
func (r *rig) bad(cdb, out []byte, k sense.Key, c sense.Code) *sense.Error {
	r.t.Helper()
	res := r.do(cdb, out)
	if !res.Is(k, c) {
		r.t.Fatalf("% x: %v, want %v %02Xh/%02Xh", cdb, res, k, c.ASC(), c.ASCQ())
	}
	return res.Sense
}

// field is do of what must fail with INVALID FIELD IN CDB at a byte.
func (r *rig) field(cdb, out []byte, at int) {
	r.t.Helper()
	e := r.bad(cdb, out, sense.IllegalRequest, sense.InvalidFieldInCDB)
	if !e.HasField || int(e.Field) != at || e.InData {
		r.t.Fatalf("% x: %v, want CDB byte %d", cdb, e, at)
	}
}

// param is do of what must fail with INVALID FIELD IN PARAMETER LIST at a byte.
func (r *rig) param(cdb, out []byte, at int) {
	r.t.Helper()
	e := r.bad(cdb, out, sense.IllegalRequest, sense.InvalidFieldInParameterList)
	if !e.HasField || int(e.Field) != at || !e.InData {
		r.t.Fatalf("% x: %v, want parameter list byte %d", cdb, e, at)
	}
}

// bytes are what the store has at a block.
func (r *rig) bytes(lba, blocks int) []byte {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return slices.Clone(r.store.data[lba*512 : (lba+blocks)*512])
}

// CDBs.
func cdb10(code, flags byte, lba uint32, n uint16) []byte {
	b := make([]byte, 10)
	b[0], b[1] = code, flags
	binary.BigEndian.PutUint32(b[2:], lba)
	binary.BigEndian.PutUint16(b[7:], n)
	return b
}

func cdb12(code, flags byte, lba, n uint32) []byte {
	b := make([]byte, 12)
	b[0], b[1] = code, flags
	binary.BigEndian.PutUint32(b[2:], lba)
	binary.BigEndian.PutUint32(b[6:], n)
	return b
}

func cdb16(code, flags byte, lba uint64, n uint32) []byte {
	b := make([]byte, 16)
	b[0], b[1] = code, flags
	binary.BigEndian.PutUint64(b[2:], lba)
	binary.BigEndian.PutUint32(b[10:], n)
	return b
}

func caw(lba uint64, n byte) []byte {
	b := cdb16(0x89, 0, lba, 0)
	b[13] = n
	return b
}

// fill is n blocks of c.
func fill(c byte, blocks int) []byte {
	b := make([]byte, blocks*512)
	for i := range b {
		b[i] = c
	}
	return b
}

// Package memtape is a tape in memory: a medium.Medium for the tests of a drive, and the model
// that other media are compared with. It keeps no older generations, loses all with the
// process, and fails on demand.
package memtape

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/targate/targate/vtl/medium"
)

// Tape is a cartridge: it stays when its medium is closed, and can be mounted again.
type Tape struct {
	mu       sync.Mutex
	info     medium.Info
	native   int64 // capacity in bytes
	limit    int64 // what SetCapacity left of it
	parts    []*partition
	attrs    [medium.MaxPartitions]map[uint16]medium.Attribute
	mounted  bool
	onAccess Hook
}

// Call is a call that can be made to fail.
type Call struct {
	Name      string // "Read", "Write", "WriteFilemarks", "Truncate", "Format", "SetCapacity", "SetAttributes" or "Flush"
	Partition int
	Object    uint64 // of Read, Write, WriteFilemarks and Truncate
}

// Hook is asked before each Call is carried out; its error is the result. With a
// *medium.Deferred, the objects from First on are gone. It must not call the medium.
type Hook func(Call) error

type object struct {
	medium.Object
	data []byte
	key  [32]byte
	used int64
}

type partition struct {
	objects         []object
	filemarks       []uint64 // object numbers, ascending
	capacity, used  int64
	written, stored uint64
}

// New makes a blank tape of one partition that holds capacity bytes.
func New(info medium.Info, capacity int64) *Tape {
	t := &Tape{info: info, native: capacity, limit: capacity}
	t.parts = []*partition{{capacity: capacity}}
	return t
}

// OnAccess sets, or with nil removes, what is asked before each call.
func (t *Tape) OnAccess(h Hook) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.onAccess = h
}

// Corrupt makes each Read of the block object of partition p fail with medium.ErrCorrupt.
func (t *Tape) Corrupt(p int, object uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts[p].objects[object].data = nil
}

// Mount gives its contents to one user, until Close.
func (t *Tape) Mount(readOnly bool) (medium.Medium, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mounted {
		return nil, errors.New("the tape is mounted already")
	}
	t.mounted = true
	return &mount{t: t, readOnly: readOnly}, nil
}

type mount struct {
	t        *Tape
	readOnly bool
	closed   bool
}

// enter locks the tape; leave with t.mu.Unlock, whatever it returns.
func (m *mount) enter(c Call) (*partition, error) {
	t := m.t
	t.mu.Lock()
	if m.closed {
		return nil, errors.New("the medium is closed")
	}
	if c.Partition < 0 || c.Partition >= len(t.parts) {
		return nil, fmt.Errorf("partition %d of %d", c.Partition, len(t.parts))
	}
	p := t.parts[c.Partition]
	if t.onAccess == nil || c.Name == "" {
		return p, nil
	}
	err := t.onAccess(c)
	var d *medium.Deferred
	if errors.As(err, &d) {
		if q := t.parts[d.Partition]; d.First < uint64(len(q.objects)) {
			q.truncate(d.First)
		}
	}
	return p, err
}

// change is enter for what records something from object at on.
func (m *mount) change(c Call) (*partition, error) {
	p, err := m.enter(c)
	switch {
	case err != nil:
		return nil, err
	case m.readOnly:
		return nil, medium.ErrReadOnly
	case c.Object > uint64(len(p.objects)):
		return nil, fmt.Errorf("object %d is behind the end of data, %d", c.Object, len(p.objects))
	case m.t.info.WORM && c.Object < uint64(len(p.objects)):
		return nil, medium.ErrWORM
	}
	return p, nil
}

func (m *mount) Info() medium.Info {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	i := m.t.info
	i.ReadOnly = m.readOnly
	return i
}

func (m *mount) Partitions() int {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	return len(m.t.parts)
}

func (m *mount) Partition(n int) medium.Partition {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	p := m.t.parts[n]
	return medium.Partition{
		Objects: uint64(len(p.objects)), Filemarks: uint64(len(p.filemarks)),
		Capacity: p.capacity, Used: p.used, Written: p.written, Stored: p.stored,
	}
}

func (m *mount) FilemarksBefore(n int, object uint64) (uint64, error) {
	p, err := m.enter(Call{Partition: n})
	defer m.t.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if object > uint64(len(p.objects)) {
		return 0, fmt.Errorf("object %d is behind the end of data, %d", object, len(p.objects))
	}
	return p.before(object), nil
}

func (m *mount) Filemark(n int, mark uint64) (uint64, error) {
	p, err := m.enter(Call{Partition: n})
	defer m.t.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if mark >= uint64(len(p.filemarks)) {
		return 0, fmt.Errorf("filemark %d of %d", mark, len(p.filemarks))
	}
	return p.filemarks[mark], nil
}

func (m *mount) Read(n int, at uint64, dst []byte, key *medium.Key) (medium.Object, error) {
	p, err := m.enter(Call{Name: "Read", Partition: n, Object: at})
	defer m.t.mu.Unlock()
	if err != nil {
		return medium.Object{}, err
	}
	if at >= uint64(len(p.objects)) {
		return medium.Object{}, nil
	}
	o := p.objects[at]
	if o.Kind != medium.Block || len(dst) == 0 {
		return o.Object, nil
	}
	switch {
	case o.data == nil:
		return o.Object, fmt.Errorf("object %d: %w", at, medium.ErrCorrupt)
	case o.Encryption != nil && key == nil:
		return o.Object, medium.ErrKeyNeeded
	case o.Encryption != nil && key.AES != o.key:
		return o.Object, medium.ErrKeyWrong
	}
	copy(dst, o.data)
	return o.Object, nil
}

func (m *mount) Write(n int, at uint64, block []byte, r medium.Recording) error {
	p, err := m.change(Call{Name: "Write", Partition: n, Object: at})
	defer m.t.mu.Unlock()
	if err != nil {
		return err
	}
	if len(block) == 0 || len(block) > medium.MaxBlock {
		return fmt.Errorf("a block of %d bytes", len(block))
	}
	room := p.capacity - p.used
	if at < uint64(len(p.objects)) {
		for _, o := range p.objects[at:] {
			room += o.used
		}
	}
	if int64(len(block)) > room {
		return medium.ErrFull
	}
	m.cut(p, at)
	o := object{data: bytes.Clone(block), used: int64(len(block))}
	o.Kind, o.Length, o.CRC = medium.Block, len(block), r.CRC
	if !r.HasCRC {
		o.CRC = crc32.Checksum(block, castagnoli)
	}
	if r.Compress {
		o.used = min(o.used, deflated(block))
	}
	if r.Key != nil {
		o.key = r.Key.AES
		o.Encryption = &medium.Encryption{
			UKAD: bytes.Clone(r.Key.UKAD), AKAD: bytes.Clone(r.Key.AKAD),
			RawDecryptionDisabled: r.Key.RawDecryptionDisabled,
		}
	}
	p.objects = append(p.objects, o)
	p.used += o.used
	p.written += uint64(len(block))
	p.stored += uint64(o.used)
	return nil
}

func (m *mount) WriteFilemarks(n int, at, count uint64) error {
	p, err := m.change(Call{Name: "WriteFilemarks", Partition: n, Object: at})
	defer m.t.mu.Unlock()
	if err != nil || count == 0 {
		return err
	}
	m.cut(p, at)
	for range count {
		p.filemarks = append(p.filemarks, uint64(len(p.objects)))
		p.objects = append(p.objects, object{Object: medium.Object{Kind: medium.Filemark}})
	}
	return nil
}

func (m *mount) Truncate(n int, at uint64) error {
	p, err := m.change(Call{Name: "Truncate", Partition: n, Object: at})
	defer m.t.mu.Unlock()
	if err == nil {
		m.cut(p, at)
	}
	return err
}

// cut starts a generation when something follows at.
func (m *mount) cut(p *partition, at uint64) {
	if at < uint64(len(p.objects)) {
		m.t.info.Generation++
		p.truncate(at)
	}
}

func (m *mount) Format(sizes []int64) error {
	_, err := m.enter(Call{Name: "Format"})
	defer m.t.mu.Unlock()
	if err != nil {
		return err
	}
	var sum int64
	for _, s := range sizes {
		if s < 0 || s > m.t.limit-sum {
			return fmt.Errorf("partitions of %d bytes on a medium of %d", sizes, m.t.limit)
		}
		sum += s
	}
	return m.format(sizes, m.t.limit)
}

func (m *mount) SetCapacity(numerator uint16) error {
	_, err := m.enter(Call{Name: "SetCapacity"})
	defer m.t.mu.Unlock()
	if err != nil {
		return err
	}
	limit := medium.Limit(m.t.native, numerator)
	return m.format([]int64{limit}, limit)
}

func (m *mount) format(sizes []int64, limit int64) error {
	t := m.t
	if len(sizes) == 0 || len(sizes) > medium.MaxPartitions {
		return fmt.Errorf("%d partitions", len(sizes))
	}
	if m.readOnly {
		return medium.ErrReadOnly
	}
	if t.info.WORM && slices.ContainsFunc(t.parts, func(p *partition) bool { return len(p.objects) > 0 }) {
		return medium.ErrWORM
	}
	t.info.Generation++
	t.limit, t.parts = limit, nil
	for _, s := range sizes {
		t.parts = append(t.parts, &partition{capacity: s})
	}
	clear(t.attrs[len(sizes):])
	return nil
}

func (m *mount) Flush() error {
	_, err := m.enter(Call{Name: "Flush"})
	defer m.t.mu.Unlock()
	return err
}

func (m *mount) Attribute(n int, id uint16) (medium.Attribute, bool) {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	a, ok := m.t.attrs[n][id]
	a.Value = bytes.Clone(a.Value)
	return a, ok
}

func (m *mount) Attributes(n int) []medium.Attribute {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	all := slices.SortedFunc(maps.Values(m.t.attrs[n]), func(a, b medium.Attribute) int { return int(a.ID) - int(b.ID) })
	for i := range all {
		all[i].Value = bytes.Clone(all[i].Value)
	}
	return all
}

func (m *mount) SetAttributes(n int, attrs ...medium.Attribute) error {
	_, err := m.enter(Call{Name: "SetAttributes", Partition: n})
	defer m.t.mu.Unlock()
	if err != nil {
		return err
	}
	if m.readOnly {
		return medium.ErrReadOnly
	}
	if err := medium.CheckAttributes(attrs); err != nil {
		return err
	}
	if m.t.attrs[n] == nil {
		m.t.attrs[n] = map[uint16]medium.Attribute{}
	}
	for _, a := range attrs {
		if len(a.Value) == 0 {
			delete(m.t.attrs[n], a.ID)
			continue
		}
		a.Value = bytes.Clone(a.Value)
		m.t.attrs[n][a.ID] = a
	}
	return nil
}

func (m *mount) Close() error {
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	if !m.closed {
		m.closed, m.t.mounted = true, false
	}
	return nil
}

func (p *partition) before(object uint64) uint64 {
	return uint64(sort.Search(len(p.filemarks), func(i int) bool { return p.filemarks[i] >= object }))
}

// truncate makes at the end of data.
func (p *partition) truncate(at uint64) {
	for _, o := range p.objects[at:] {
		p.used -= o.used
	}
	p.filemarks = p.filemarks[:p.before(at)]
	clear(p.objects[at:])
	p.objects = p.objects[:at]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// deflated is how long block is when compressed.
func deflated(block []byte) int64 {
	var n counter
	w, err := flate.NewWriter(&n, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one of flate's
	}
	_, _ = w.Write(block) // counter takes all
	_ = w.Close()
	return int64(n)
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

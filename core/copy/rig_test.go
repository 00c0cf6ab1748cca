package copy

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sbc"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// store is a small disk in memory that can be told to fail and to wait.
type store struct {
	info block.Info

	mu   sync.Mutex
	data []byte

	// hook, when set, is called before each operation; an error ends it. It is set before
	// the first command.
	hook func(op string, off, n int64) error
}

func (s *store) Info() block.Info { return s.info }

func (s *store) enter(op string, off, n int64) error {
	if s.hook != nil {
		if err := s.hook(op, off, n); err != nil {
			return err
		}
	}
	return block.CheckRange(op, off, n, s.info.Size)
}

func (s *store) ReadAt(p []byte, off int64, _ block.Flags) error {
	if err := s.enter("read", off, int64(len(p))); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(p, s.data[off:])
	return nil
}

func (s *store) WriteAt(p []byte, off int64, _ block.Flags) error {
	if err := s.enter("write", off, int64(len(p))); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.data[off:], p)
	return nil
}

func (s *store) Zero(off, n int64, _ block.Flags) error {
	if err := s.enter("zero", off, n); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.data[off : off+n])
	return nil
}

func (s *store) Unmap(off, n int64, f block.Flags) error { return s.Zero(off, n, f) }
func (s *store) Flush() error                            { return nil }
func (s *store) Close() error                            { return nil }
func (s *store) Extent(off, n int64) (block.Extent, error) {
	return block.Extent{Off: off, Len: n, Data: true}, nil
}

// bytes is a copy of what the store holds in [off, off+n).
func (s *store) bytes(off, n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data[off : off+n])
}

// disk is one logical unit of a rig, at the LUN of its number.
type disk struct {
	*store
	unit      *core.Unit
	service   *Service
	blockSize int
	naa       [8]byte
	serial    string
}

// rig is some disks, and a nexus that sees them.
type rig struct {
	t     testing.TB
	m     *Manager
	disks []*disk
	nexus *core.Nexus
}

// shape says how a disk of a rig is made.
type shape struct {
	blockSize int // 0: 512
	size      int // 0: diskBytes
	readOnly  bool
	hook      func(op string, off, n int64) error
	services  []core.Service // besides the copy manager
}

const diskBytes = 2 << 20

// newRig makes disks with random contents.
func newRig(t testing.TB, shapes ...shape) *rig {
	t.Helper()
	r := &rig{t: t, m: NewManager()}
	for i, sh := range shapes {
		r.disks = append(r.disks, r.newDisk(i, sh))
	}
	r.nexus = r.newNexus()
	return r
}

func (r *rig) newDisk(i int, sh shape) *disk {
	r.t.Helper()
	if sh.blockSize == 0 {
		sh.blockSize = 512
	}
	if sh.size == 0 {
		sh.size = diskBytes
	}
	d := &disk{service: r.m.NewService(), blockSize: sh.blockSize, naa: [8]byte{0x30, 7: byte(i + 1)}, serial: string(rune('A' + i))}
	d.store = &store{hook: sh.hook, data: make([]byte, sh.size), info: block.Info{Size: int64(sh.size),
		Granularity: 4096, PhysicalBlock: 4096, Unmap: block.Native, ReadOnly: sh.readOnly, Align: 1}}
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	for j := 0; j < sh.size; j += 8 {
		binary.LittleEndian.PutUint64(d.data[j:], rnd.Uint64())
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h, err := sbc.New(d.store, sbc.Config{BlockSize: uint32(sh.blockSize), Log: log,
		Identity: core.Identity{Vendor: "TARGATE", Product: "Disk", Serial: d.serial, NAA: d.naa}})
	if err != nil {
		r.t.Fatal(err)
	}
	d.unit, err = core.NewUnit("disk", h, core.UnitOptions{Log: log,
		Services: append([]core.Service{d.service}, sh.services...)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { d.unit.Close() })
	return d
}

// newNexus is a nexus that sees the disks of luns, or all.
func (r *rig) newNexus(luns ...int) *core.Nexus {
	n := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.org.targate:initiator", Session: "00023d000001"}, coretest.Target)
	if luns == nil {
		for i := range r.disks {
			luns = append(luns, i)
		}
	}
	m := map[scsi.LUN]core.Mapping{}
	for _, i := range luns {
		m[scsi.LUN(i)] = core.Mapping{Unit: r.disks[i].unit}
	}
	n.SetLUNs(m, true)
	r.t.Cleanup(n.Close)
	for _, p := range n.Paths() {
		coretest.TakeUA(p)
	}
	return n
}

func (r *rig) path(lun int) *core.Path { return r.nexus.Path(scsi.LUN(lun)) }

// operation is that of a four-byte list identifier.
func (r *rig) operation(lun int, id uint32) *operation {
	r.t.Helper()
	s := r.disks[lun].service
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.begun[r.path(lun)] {
		if o.id == (listID{lid4: true, id: id}) {
			return o
		}
	}
	r.t.Fatalf("no operation %d", id)
	return nil
}

// do runs a command at a LUN.
func (r *rig) do(lun int, cdb, out []byte) coretest.Result {
	return coretest.Do(r.path(lun), cdb, out, coretest.AnyLength)
}

// good is do of what must succeed.
func (r *rig) good(lun int, cdb, out []byte) []byte {
	r.t.Helper()
	res := r.do(lun, cdb, out)
	if !res.Good() {
		r.t.Fatalf("% x: %v", cdb, res)
	}
	return res.Data
}

// bad is do of what must fail with k and c.
func (r *rig) bad(lun int, cdb, out []byte, k sense.Key, c sense.Code) *sense.Error {
	r.t.Helper()
	res := r.do(lun, cdb, out)
	if !res.Is(k, c) {
		r.t.Fatalf("% x: %v, want %v %02Xh/%02Xh", cdb, res, k, c.ASC(), c.ASCQ())
	}
	return res.Sense
}

// want compares n bytes at off of a disk.
func (r *rig) want(lun, off int, want []byte) {
	r.t.Helper()
	if !bytes.Equal(r.disks[lun].bytes(off, len(want)), want) {
		r.t.Errorf("LUN %d has other data at byte %d", lun, off)
	}
}

// outCDB and inCDB are the CDBs of the two opcodes.
func outCDB(action byte, n int) []byte {
	b := make([]byte, 16)
	b[0], b[1] = opCopy, action
	binary.BigEndian.PutUint32(b[10:], uint32(n))
	return b
}

func tokenCDB(action byte, id uint32, n int) []byte {
	b := outCDB(action, n)
	binary.BigEndian.PutUint32(b[6:], id)
	return b
}

func inCDB(action byte, n int) []byte {
	b := outCDB(action, n)
	b[0] = opReceive
	return b
}

func statusCDB(action byte, id uint32) []byte {
	b := inCDB(action, 1024)
	binary.BigEndian.PutUint32(b[2:], id)
	return b
}

func statusCDB1(action, id byte) []byte {
	b := inCDB(action, 1024)
	b[2] = id
	return b
}

func abortCDB(id uint32) []byte {
	b := outCDB(saAbort, 0)
	binary.BigEndian.PutUint32(b[2:], id)
	return b
}

// naaTarget is a CSCD descriptor by the NAA designator.
func (d *disk) naaTarget() []byte {
	b := make([]byte, targetLen)
	b[0], b[4], b[5], b[7] = typeIdentify, 1, 3, 8
	copy(b[8:], d.naa[:])
	b[30], b[31] = byte(d.blockSize>>8), byte(d.blockSize)
	return b
}

// t10Target is one by the T10 vendor ID designator.
func (d *disk) t10Target() []byte {
	b := d.naaTarget()
	id := "TARGATE " + d.serial
	b[4], b[5], b[7] = 2, 1, byte(len(id))
	clear(b[8:28])
	copy(b[8:], id)
	return b
}

// blocks is a segment descriptor 02h.
func blocks(flags byte, src, dst uint16, n int, srcLBA, dstLBA uint64) []byte {
	b := make([]byte, segmentLen)
	b[0], b[1], b[3] = typeBlock, flags, segmentLen-segmentHeader
	binary.BigEndian.PutUint16(b[4:], src)
	binary.BigEndian.PutUint16(b[6:], dst)
	binary.BigEndian.PutUint16(b[10:], uint16(n))
	binary.BigEndian.PutUint64(b[12:], srcLBA)
	binary.BigEndian.PutUint64(b[20:], dstLBA)
	return b
}

// inBytes is a segment descriptor 0Ah.
func inBytes(src, dst uint16, n uint32, srcLBA, dstLBA uint64, srcOff, dstOff uint16) []byte {
	b := make([]byte, segmentOffsetLen)
	copy(b, blocks(0, src, dst, 0, srcLBA, dstLBA))
	b[0], b[3] = typeBlockOffset, segmentOffsetLen-segmentHeader
	binary.BigEndian.PutUint32(b[8:], n)
	binary.BigEndian.PutUint16(b[28:], srcOff)
	binary.BigEndian.PutUint16(b[30:], dstOff)
	return b
}

func join(parts [][]byte) []byte { return bytes.Join(parts, nil) }

// list1 is the parameter list of EXTENDED COPY(LID1).
func list1(id, flags byte, targets, segments [][]byte) []byte {
	b := make([]byte, lid1Header)
	b[0], b[1] = id, flags
	t, s := join(targets), join(segments)
	binary.BigEndian.PutUint16(b[2:], uint16(len(t)))
	binary.BigEndian.PutUint32(b[8:], uint32(len(s)))
	return append(append(b, t...), s...)
}

// list4 is that of EXTENDED COPY(LID4).
func list4(id uint32, flags, immed byte, targets, segments [][]byte) []byte {
	b := make([]byte, lid4Header)
	b[0], b[1], b[3], b[15], b[16] = 1, flags, 32, immed, 0xff
	binary.BigEndian.PutUint32(b[20:], id)
	t, s := join(targets), join(segments)
	binary.BigEndian.PutUint16(b[42:], uint16(len(t)))
	binary.BigEndian.PutUint16(b[44:], uint16(len(s)))
	return append(append(b, t...), s...)
}

func (r *rig) copy1(lun int, list []byte) coretest.Result {
	return r.do(lun, outCDB(saCopyLID1, len(list)), list)
}

func (r *rig) copy4(lun int, list []byte) coretest.Result {
	return r.do(lun, outCDB(saCopyLID4, len(list)), list)
}

// ranges are block device range descriptors.
func ranges(spans ...span) []byte {
	var b []byte
	for _, s := range spans {
		b = binary.BigEndian.AppendUint64(b, s.lba)
		b = binary.BigEndian.AppendUint32(b, uint32(s.blocks))
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

func populateList(flags byte, timeout, rod uint32, spans ...span) []byte {
	d := ranges(spans...)
	b := make([]byte, populateHeader)
	binary.BigEndian.PutUint16(b, uint16(populateHeader+len(d)-2))
	b[2] = flags
	binary.BigEndian.PutUint32(b[4:], timeout)
	binary.BigEndian.PutUint32(b[8:], rod)
	binary.BigEndian.PutUint16(b[14:], uint16(len(d)))
	return append(b, d...)
}

func writeList(flags byte, offset uint64, token []byte, spans ...span) []byte {
	d := ranges(spans...)
	b := make([]byte, writeHeader)
	binary.BigEndian.PutUint16(b, uint16(writeHeader+len(d)-2))
	b[2] = flags
	binary.BigEndian.PutUint64(b[8:], offset)
	copy(b[writeToken:], token)
	binary.BigEndian.PutUint16(b[534:], uint16(len(d)))
	return append(b, d...)
}

// token populates one at a LUN and receives it.
func (r *rig) token(lun int, timeout uint32, spans ...span) []byte {
	r.t.Helper()
	l := populateList(0, timeout, 0, spans...)
	r.good(lun, tokenCDB(saPopulate, 1, len(l)), l)
	b := r.good(lun, statusCDB(saTokenInfo, 1), nil)
	if len(b) != 32+4+2+tokenLen || b[5] != completed || binary.BigEndian.Uint32(b[32:]) != 2+tokenLen {
		r.t.Fatalf("RECEIVE ROD TOKEN INFORMATION: % x", b)
	}
	return b[38:]
}

func (r *rig) writeUsing(lun int, id uint32, list []byte) coretest.Result {
	return r.do(lun, tokenCDB(saWriteToken, id, len(list)), list)
}

// zeroToken is the block device zero ROD token.
func zeroToken() []byte {
	b := make([]byte, tokenLen)
	binary.BigEndian.PutUint32(b, rodZero)
	binary.BigEndian.PutUint16(b[6:], tokenBody)
	return b
}

// door lets the operations of a store wait: the first one arrives, and all go on when the
// door opens.
type door struct {
	arrived, open chan struct{}
	once          sync.Once
}

func newDoor() *door { return &door{arrived: make(chan struct{}), open: make(chan struct{})} }

func (d *door) hook(op string) func(string, int64, int64) error {
	return func(o string, _, _ int64) error {
		if o == op {
			d.once.Do(func() { close(d.arrived) })
			<-d.open
		}
		return nil
	}
}

// within fails the test when ch does not close soon.
func within(t testing.TB, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing happens", what)
	}
}

// mapping is the LUN map of all disks, with one of them read-only.
func mapping(r *rig, readOnly int) map[scsi.LUN]core.Mapping {
	m := map[scsi.LUN]core.Mapping{}
	for i, d := range r.disks {
		m[scsi.LUN(i)] = core.Mapping{Unit: d.unit, ReadOnly: i == readOnly}
	}
	return m
}

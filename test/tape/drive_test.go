//go:build system

package tape

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// prepare puts a cartridge of a kind into the drive, without data and with the mode parameters that
// a drive has at first. "none" leaves the drive empty.
func (h *host) prepare(kind string) {
	h.t.Helper()
	want := ""
	if kind != "none" {
		k, ok := kinds[kind]
		if !ok {
			h.t.Fatalf("no kind of cartridge %q", kind)
		}
		want = k.barcode
		if kind == "worm" {
			if want = numbered(k.barcode, lab.worms); lab.worms == k.count {
				h.t.Fatal("no WORM cartridge is left")
			}
			lab.worms++
		}
	}
	h.insert(h.lun, want)
	if want == "" || kind == "clean" {
		return
	}
	h.ready()
	h.good(h.setBlock(0))
	if kind == "worm" || kind == "old" {
		return
	}
	if _, data := h.modeSense(0, 0x10, 1); data[5]&0xf0 != 0 { // append-only mode ends by UNLOAD
		h.good(h.none(0x1b, 0, 0, 0, 0, 0))
		h.good(h.none(0x1b, 0, 0, 0, 1, 0))
	}
	h.good(h.changeMode(0x10, 1, func(b []byte) { b[6], b[7] = 0, 0 })) // no programmable early warning
	h.compress(false)
	h.start()
	h.good(h.none(0x0b, 0, 0, 0xff, 0xff, 0)) // SET CAPACITY: whole, of one partition, blank
	h.attentions(h.lun)
}

// start goes to the beginning of partition 0.
func (h *host) start() {
	h.t.Helper()
	h.good(h.none(0x2b, 2, 0, 0, 0, 0, 0, 0, 0, 0))
}

// numbered is the barcode n after first.
func numbered(first string, n int) string {
	var number int
	fmt.Sscanf(first[2:6], "%d", &number)
	return fmt.Sprintf("TG%04d%s", number+n, first[6:])
}

// insert makes the drive of a LUN hold the cartridge of a barcode, or none.
func (h *host) insert(lun uint16, barcode string) {
	h.t.Helper()
	all := h.elements()
	drive := driveElement(lun)
	if all[drive].barcode == barcode {
		return
	}
	if all[drive].full {
		h.good(h.do(&initiator.Command{LUN: lun, CDB: []byte{0x1b, 0, 0, 0, 0, 0}}))
		home := all[drive].source
		if home == 0 || all[home].full {
			for home = firstSlot; all[home].full; home++ {
			}
		}
		h.is(h.move(drive, home), "good")
	}
	if barcode == "" {
		h.attentions(lun)
		return
	}
	for address, e := range h.elements() {
		if e.barcode == barcode {
			h.is(h.move(address, drive), "good")
			h.attentions(lun)
			return
		}
	}
	h.t.Fatalf("no cartridge %s", barcode)
}

// ready waits until the drive has loaded what is in it.
func (h *host) ready() {
	h.t.Helper()
	for {
		r := h.none(0, 0, 0, 0, 0, 0)
		switch {
		case r.Status == 0:
			return
		case r.Key() == 6, r.Key() == 2 && (r.Code() == 0x0401 || r.Code() == 0x0407): // what is immediate may go on
		default:
			h.t.Fatalf("the drive does not become ready: %s", outcome(r))
		}
	}
}

// position is what READ POSITION says in its long form.
type position struct {
	flags     byte
	partition uint32
	object    uint64
	file      uint64
}

// readPosition asks in all three forms, which must agree.
func (h *host) readPosition() position {
	h.t.Helper()
	long := h.good(h.in([]byte{0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0}, 32)).Data
	short := h.good(h.in([]byte{0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20)).Data
	extended := h.good(h.in([]byte{0x34, 8, 0, 0, 0, 0, 0, 0, 32, 0}, 32)).Data
	if len(long) != 32 || len(short) != 20 || len(extended) != 32 {
		h.t.Fatalf("READ POSITION: long %d bytes, short %d, extended %d", len(long), len(short), len(extended))
	}
	p := position{flags: long[0] & 0xc0, partition: binary.BigEndian.Uint32(long[4:]),
		object: binary.BigEndian.Uint64(long[8:]), file: binary.BigEndian.Uint64(long[16:])}
	if n := binary.BigEndian.Uint32(short[4:]); uint64(n) != p.object || uint32(short[1]) != p.partition || short[0]&0xc0 != p.flags {
		h.t.Errorf("READ POSITION short: partition %d, object %d, flags %02x; long: %+v", short[1], n, short[0], p)
	}
	if n := binary.BigEndian.Uint64(extended[8:]); n != p.object || uint32(extended[1]) != p.partition || extended[0]&0xc0 != p.flags {
		h.t.Errorf("READ POSITION extended: partition %d, object %d, flags %02x; long: %+v", extended[1], n, extended[0], p)
	}
	return p
}

func (h *host) at(object int) {
	h.t.Helper()
	if p := h.readPosition(); p.object != uint64(object) {
		h.t.Errorf("at object %d, want %d", p.object, object)
	}
}

func (h *host) file(n int) {
	h.t.Helper()
	if p := h.readPosition(); p.file != uint64(n) {
		h.t.Errorf("at file %d, want %d", p.file, n)
	}
}

func (h *host) partition(n int) {
	h.t.Helper()
	if p := h.readPosition(); p.partition != uint32(n) {
		h.t.Errorf("in partition %d, want %d", p.partition, n)
	}
}

// edge checks BOP (80h) or EOP (40h).
func (h *host) edge(bit byte, set bool) {
	h.t.Helper()
	if p := h.readPosition(); p.flags&bit != 0 != set {
		h.t.Errorf("position flags %02x, want %02x set: %v", p.flags, bit, set)
	}
}

// modeSense is MODE SENSE(10): the header with its block descriptor, and the page.
func (h *host) modeSense(pc, page, sub byte) (header, data []byte) {
	h.t.Helper()
	r := h.good(h.in([]byte{0x5a, 0, pc<<6 | page, sub, 0, 0, 0, 4, 0, 0}, 1024))
	if len(r.Data) < 8 || int(binary.BigEndian.Uint16(r.Data))+2 != len(r.Data) {
		h.t.Fatalf("MODE SENSE(10) of page %02x/%02x: %d bytes, mode data length %x", page, sub, len(r.Data), r.Data[:min(2, len(r.Data))])
	}
	n := 8 + int(binary.BigEndian.Uint16(r.Data[6:]))
	return r.Data[:n], r.Data[n:]
}

func (h *host) modeSelect(data []byte) *initiator.Result {
	h.t.Helper()
	return h.out([]byte{0x55, 0x10, 0, 0, 0, 0, 0, byte(len(data) >> 8), byte(len(data)), 0}, data)
}

// setBlock sets the block length of the mode parameters, 0 for variable.
func (h *host) setBlock(n int) *initiator.Result {
	h.t.Helper()
	header, _ := h.modeSense(0, 0x0f, 0)
	header[0], header[1], header[2] = 0, 0, 0
	header[13], header[14], header[15] = byte(n>>16), byte(n>>8), byte(n)
	return h.modeSelect(header)
}

// changeMode changes a page; f is given the page from its first byte on.
func (h *host) changeMode(page, sub byte, f func(b []byte)) *initiator.Result {
	h.t.Helper()
	header, data := h.modeSense(0, page, sub)
	header[0], header[1], header[2] = 0, 0, 0
	data[0] &^= 0x80
	f(data)
	return h.modeSelect(append(header, data...))
}

func (h *host) compress(on bool) {
	h.t.Helper()
	h.good(h.changeMode(0x0f, 0, func(b []byte) { b[2] = b[2]&^0x80 | flag1(on, 0x80) }))
}

// partitions makes n partitions of the medium, by page 11h and FORMAT MEDIUM.
func (h *host) partitions(n int) {
	h.t.Helper()
	h.good(h.changeMode(0x11, 0, func(b []byte) {
		b[3] = byte(n - 1)
		b[4] = b[4]&0x1f | 0x40 // SDP: equal ones
	}))
	h.start()
	format := byte(1)
	if n == 1 {
		format = 0
	}
	h.good(h.none(0x04, 0, format, 0, 0, 0))
	h.attentions(h.lun)
}

// Elements of the changer's model.
const (
	picker       = 0x0001
	firstMail    = 0x0010
	firstDrive   = 0x0100
	firstSlot    = 0x1000
	typePicker   = 1
	typeSlot     = 2
	typeMailslot = 3
	typeDrive    = 4
)

func driveElement(lun uint16) uint16 { return firstDrive + lun - 1 }

// element reads the name of an element: s1 is the first slot; or its address in hexadecimal.
func element(t *testing.T, name string) uint16 {
	t.Helper()
	var n uint16
	first, ok := map[byte]uint16{'s': firstSlot, 'd': firstDrive, 'm': firstMail, 'p': picker}[name[0]]
	if ok {
		if _, err := fmt.Sscan(name[1:], &n); err != nil {
			t.Fatal(err)
		}
		return first + n - 1
	}
	if _, err := fmt.Sscanf(name, "0x%x", &n); err != nil {
		t.Fatalf("what element is %q?", name)
	}
	return n
}

func (h *host) changer(cdb ...byte) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: lunChanger, CDB: cdb})
}

func (h *host) move(from, to uint16) *initiator.Result {
	h.t.Helper()
	return h.changer(0xa5, 0, hi(picker), lo(picker), hi(from), lo(from), hi(to), lo(to), 0, 0, 0, 0)
}

func (h *host) exchange(from, to, then uint16) *initiator.Result {
	h.t.Helper()
	return h.changer(0xa6, 0, hi(picker), lo(picker), hi(from), lo(from), hi(to), lo(to), hi(then), lo(then), 0, 0)
}

// slot is what READ ELEMENT STATUS says of an element.
type slot struct {
	kind    byte
	flags   byte
	full    bool
	asc     uint16
	source  uint16 // 0: not valid
	barcode string
	rest    []byte // behind the volume tag
}

// elements are all elements by address.
func (h *host) elements() map[uint16]slot {
	h.t.Helper()
	r := h.good(h.do(&initiator.Command{LUN: lunChanger, CDB: []byte{0xb8, 0x10, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0}, In: 0xffff}))
	return parseElements(h.t, r.Data)
}

func parseElements(t *testing.T, b []byte) map[uint16]slot {
	t.Helper()
	if len(b) < 8 {
		t.Fatalf("READ ELEMENT STATUS gave %d bytes", len(b))
	}
	all := map[uint16]slot{}
	for b = b[8:]; len(b) >= 8; {
		kind, voltag, size := b[0], b[1]&0x80 != 0, int(binary.BigEndian.Uint16(b[2:]))
		n := int(b[5])<<16 | int(b[6])<<8 | int(b[7])
		page := b[8:min(len(b), 8+n)]
		b = b[8+len(page):]
		for ; len(page) >= size && size >= 12; page = page[size:] {
			d := page[:size]
			s := slot{kind: kind, flags: d[2], full: d[2]&1 != 0, asc: binary.BigEndian.Uint16(d[4:])}
			if d[9]&0x80 != 0 {
				s.source = binary.BigEndian.Uint16(d[10:])
			}
			s.rest = d[12:]
			if voltag && size >= 48 {
				s.barcode = trim(d[12:44])
				s.rest = d[48:]
			}
			all[binary.BigEndian.Uint16(d)] = s
		}
	}
	return all
}

func trim(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	return string(b)
}

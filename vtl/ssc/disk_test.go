package ssc

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
	contents "github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
)

// onDisk is a Cartridge whose contents are in a directory.
type onDisk struct {
	dir, barcode string
	media        *personality.Media
}

func (c *onDisk) Barcode() string           { return c.barcode }
func (c *onDisk) Media() *personality.Media { return c.media }
func (c *onDisk) WORM() bool                { return false }
func (c *onDisk) WriteProtected() bool      { return false }
func (c *onDisk) Mount() (medium.Medium, error) {
	return contents.Open(c.dir, contents.Options{Compression: contents.LZ4})
}

// station is a drive with an initiator.
type station struct {
	t *testing.T
	d *Drive
	p *core.Path
}

func newStation(t *testing.T, serial string) *station {
	t.Helper()
	d := newDrive(t, func(c *Config) { c.Identity.Serial = serial })
	return &station{t, d, coretest.NewPath(t, coretest.NewUnit(t, d, &coretest.State{}))}
}

func (s *station) do(out []byte, cdb ...byte) coretest.Result {
	return coretest.Do(s.p, cdb, out, 1<<20)
}

// good is do, and the command must end with GOOD.
func (s *station) good(out []byte, cdb ...byte) []byte {
	s.t.Helper()
	r := s.do(out, cdb...)
	if !r.Good() {
		s.t.Fatalf("% x: %v", cdb, r)
	}
	return r.Data
}

// attribute is an attribute of partition 0.
func (s *station) attribute(id uint16) []byte {
	s.t.Helper()
	b := s.good(nil, 0x8c, 0, 0, 0, 0, 0, 0, 0, byte(id>>8), byte(id), 0, 0, 0x10, 0, 0, 0)
	return b[9 : 9+int(binary.BigEndian.Uint16(b[7:]))]
}

func (s *station) load(c Cartridge) {
	s.t.Helper()
	if err := s.d.Insert(c); err != nil {
		s.t.Fatal(err)
	}
	coretest.TakeUA(s.p)
}

func (s *station) unload() {
	s.t.Helper()
	if err := s.d.Remove(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *station) key(k byte) {
	s.t.Helper()
	page := append([]byte{0, 0x10, 0, 0x30, 0x40, 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, keyLen}, bytes.Repeat([]byte{k}, keyLen)...)
	s.good(page, 0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, byte(len(page)), 0, 0)
}

// What a drive recorded, encrypted and noted about a cartridge is there in another one.
func TestAnotherDrive(t *testing.T) {
	media, _ := models.Media("LTO-8")
	c := &onDisk{filepath.Join(t.TempDir(), "TG0001L8"), "TG0001L8", media}
	if _, err := contents.Create(c.dir, contents.Identity{Barcode: c.barcode, Type: media.Name, Serial: "S1", Capacity: 1 << 30}, contents.Options{}); err != nil {
		t.Fatal(err)
	}
	plain, secret := bytes.Repeat([]byte("plain text "), 1000), bytes.Repeat([]byte("a secret "), 1000)

	a := newStation(t, "1000000001")
	a.load(c)
	before := a.attribute(attrChange)
	a.good(plain, 0x0a, 0, byte(len(plain)>>16), byte(len(plain)>>8), byte(len(plain)), 0)
	a.key('K')
	a.good(secret, 0x0a, 0, byte(len(secret)>>16), byte(len(secret)>>8), byte(len(secret)), 0)
	a.good(nil, 0x10, 0, 0, 0, 1, 0)
	host := append([]byte{0, 0, 0, 13, 8, 0, 1, 0, 8}, "TESTING "...)
	a.good(host, 0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(host)), 0, 0)
	after := a.attribute(attrChange)
	if bytes.Equal(before, after) {
		t.Error("the volume change reference is the same after a write")
	}
	a.unload()

	b := newStation(t, "1000000002")
	b.load(c)
	if got := b.attribute(attrChange); !bytes.Equal(got, after) {
		t.Errorf("volume change reference %x, was %x", got, after)
	}
	if got := b.attribute(0x0800); string(got) != "TESTING " {
		t.Errorf("attribute 0800h: %q", got)
	}
	if got := b.attribute(attrLoads); binary.BigEndian.Uint64(got) != 2 {
		t.Errorf("load count % x", got)
	}
	if one, two := b.attribute(attrDrive), b.attribute(attrDrive+1); !bytes.Contains(one, []byte("1000000002")) || !bytes.Contains(two, []byte("1000000001")) {
		t.Errorf("the last drives: %q, %q", one, two)
	}
	if got := b.attribute(attrEncrypted); binary.BigEndian.Uint64(got) != 1 {
		t.Errorf("first encrypted object % x", got)
	}
	read := []byte{0x08, 2, 0x01, 0, 0, 0}
	if got := b.good(nil, read...); !bytes.Equal(got, plain) {
		t.Error("the plain block differs")
	}
	if r := b.do(nil, read...); !r.Is(sense.DataProtect, unableToDecrypt) {
		t.Errorf("without a key: %v", r)
	}
	b.key('L')
	if r := b.do(nil, read...); !r.Is(sense.DataProtect, incorrectKey) {
		t.Errorf("with another key: %v", r)
	}
	status := func() byte { return b.good(nil, 0xa2, 0x20, 0, 0x21, 0, 0, 0, 0, 1, 0, 0, 0)[12] & 0x0f }
	if got := status(); got != 6 {
		t.Errorf("ENCRYPTION STATUS %d with another key", got)
	}
	b.key('K')
	if got := status(); got != 5 {
		t.Errorf("ENCRYPTION STATUS %d with the key", got)
	}
	if got := b.good(nil, read...); !bytes.Equal(got, secret) {
		t.Error("the encrypted block differs")
	}
	b.unload()
	b.load(c)
	if r, w := b.attribute(attrLifeRead), b.attribute(attrLifeWritten); binary.BigEndian.Uint64(r) != 0 || binary.BigEndian.Uint64(w) != 0 {
		t.Errorf("MiB in its life: % x read, % x written", r, w) // less than one
	}
	life := func(id uint16) uint64 { v, _ := b.d.mount.kept(0, id); return v }
	if want := uint64(len(plain) + len(secret)); life(attrLifeWritten) != want || life(attrLifeRead) != want {
		t.Errorf("bytes in its life: %d written, %d read, of %d", life(attrLifeWritten), life(attrLifeRead), want)
	}
	b.unload()
}

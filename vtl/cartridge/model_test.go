package cartridge_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/carttest"
	"github.com/targate/targate/vtl/medium"
)

// object is what a model knows of one: a filemark has length 0.
type object struct {
	length int
	crc    uint32
}

// moment is how a tape is. Slices of it are never changed.
type moment struct {
	generation uint64
	capacity   []int64
	parts      [][]object
	attrs      [medium.MaxPartitions]string // of one attribute
}

func (m moment) clone() moment {
	m.parts = slices.Clone(m.parts)
	m.capacity = slices.Clone(m.capacity)
	return m
}

const volume = 0x0806 // the attribute that models use

var key = &medium.Key{AES: [32]byte{7}, UKAD: []byte("key")}

// look is the moment that a medium shows, read whole.
func look(m medium.Medium) (moment, error) {
	s := moment{generation: m.Info().Generation}
	dst := make([]byte, 300<<10)
	for p := range m.Partitions() {
		x := m.Partition(p)
		s.capacity = append(s.capacity, x.Capacity)
		objects := make([]object, 0, x.Objects)
		marks := uint64(0)
		for i := range x.Objects {
			if n, err := m.FilemarksBefore(p, i); err != nil || n != marks {
				return s, fmt.Errorf("partition %d: %d filemarks before object %d, %w; want %d", p, n, i, err, marks)
			}
			o, err := m.Read(p, i, dst, key)
			if err != nil {
				return s, fmt.Errorf("partition %d, object %d of %d: %w", p, i, x.Objects, err)
			}
			switch o.Kind {
			case medium.Filemark:
				if at, err := m.Filemark(p, marks); err != nil || at != i {
					return s, fmt.Errorf("partition %d: filemark %d is %d, %w; want %d", p, marks, at, err, i)
				}
				marks++
				objects = append(objects, object{})
			case medium.Block:
				crc := crc32.Checksum(dst[:o.Length], castagnoli)
				if o.CRC != crc {
					return s, fmt.Errorf("partition %d, object %d: CRC %08x, computed %08x", p, i, o.CRC, crc)
				}
				objects = append(objects, object{o.Length, crc})
			default:
				return s, fmt.Errorf("partition %d: object %d of %d is not there", p, i, x.Objects)
			}
		}
		if marks != x.Filemarks {
			return s, fmt.Errorf("partition %d: %d filemarks, it says %d", p, marks, x.Filemarks)
		}
		s.parts = append(s.parts, objects)
		if a, ok := m.Attribute(p, volume); ok {
			s.attrs[p] = string(a.Value)
		}
	}
	return s, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m moment) equal(o moment) bool {
	return m.generation == o.generation && slices.Equal(m.capacity, o.capacity) && m.attrs == o.attrs &&
		slices.EqualFunc(m.parts, o.parts, slices.Equal[[]object])
}

func (m moment) String() string {
	s := fmt.Sprintf("generation %d, capacity %d, attributes %q", m.generation, m.capacity, m.attrs)
	for p, o := range m.parts {
		s += fmt.Sprintf(", partition %d: %d objects", p, len(o))
	}
	return s
}

// player makes random operations, and keeps all moments that a tape went through: from
// acknowledged on, each can be what a loss of power leaves.
type player struct {
	r       *rand.Rand
	m       *cartridge.Cartridge
	total   int64
	largest int

	mu           sync.Mutex
	history      []moment
	acknowledged int
	ends         map[uint64]moment // of generations
	only         bool              // blocks, at the end
}

func newPlayer(seed uint64, m *cartridge.Cartridge) *player {
	p := &player{r: rand.New(rand.NewPCG(seed, 1)), m: m, total: m.Partition(0).Capacity, largest: 90_000, ends: map[uint64]moment{}}
	p.history = []moment{{capacity: []int64{p.total}, parts: [][]object{nil}}}
	return p
}

func (p *player) now() moment { return p.history[len(p.history)-1] }

// becomes takes note of what an operation that begins makes of the tape.
func (p *player) becomes(s moment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.now(); s.generation != old.generation {
		p.ends[old.generation] = old
	}
	p.history = append(p.history, s)
}

// done takes note that all until now is durable.
func (p *player) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acknowledged = len(p.history) - 1
}

// cut is the moment in which at is the end of partition q.
func (p *player) cut(q, at int) {
	s := p.now()
	if at == len(s.parts[q]) {
		return
	}
	s = s.clone()
	s.generation++
	s.parts[q] = s.parts[q][:at:at]
	p.becomes(s)
}

// at is where to record: mostly at the end.
func (p *player) at(q int) int {
	n := len(p.now().parts[q])
	if !p.only && p.r.IntN(25) == 0 {
		return p.r.IntN(n + 1)
	}
	return n
}

// step makes one operation.
func (p *player) step() error {
	q := 0
	if n := len(p.now().parts); n > 1 && p.r.IntN(8) == 0 {
		q = p.r.IntN(n)
	}
	switch x := p.r.IntN(100); {
	case p.only, x < 70:
		n := 1 + p.r.IntN([]int{10, 1000, p.largest}[p.r.IntN(3)])
		b := carttest.Data(n, p.r.Uint64())
		if p.r.IntN(2) == 0 {
			b = carttest.Text(n, p.r.Uint64N(1000))
		}
		rec := medium.Recording{Compress: p.r.IntN(3) > 0}
		if p.r.IntN(6) == 0 {
			rec.Key = key
		}
		at := p.at(q)
		p.cut(q, at)
		s := p.now().clone()
		s.parts[q] = append(s.parts[q][:at:at], object{n, crc32.Checksum(b, castagnoli)})
		p.becomes(s)
		return p.m.Write(q, uint64(at), b, rec)
	case x < 85:
		at, n := p.at(q), 1+p.r.IntN(3)
		p.cut(q, at)
		s := p.now().clone()
		s.parts[q] = append(s.parts[q][:at:at], make([]object, n)...)
		p.becomes(s)
		if err := p.m.WriteFilemarks(q, uint64(at), uint64(n)); err != nil {
			return err
		}
		if p.r.IntN(2) == 0 {
			return p.flush()
		}
	case x < 90:
		return p.flush()
	case x < 95:
		s := p.now().clone()
		s.attrs[q] = fmt.Sprint(p.r.Uint64())
		p.becomes(s)
		return p.m.SetAttributes(q, medium.Attribute{ID: volume, Format: 1, Value: []byte(s.attrs[q])})
	case x < 97:
		at := p.r.IntN(len(p.now().parts[q]) + 1)
		p.cut(q, at)
		if err := p.m.Truncate(q, uint64(at)); err != nil {
			return err
		}
		p.done()
	case x < 98:
		s := moment{generation: p.now().generation + 1}
		for range 1 + p.r.IntN(medium.MaxPartitions) {
			s.capacity = append(s.capacity, p.total/5)
			s.parts = append(s.parts, nil)
		}
		old := p.now()
		copy(s.attrs[:len(s.parts)], old.attrs[:])
		p.becomes(s)
		if err := p.m.Format(s.capacity); err != nil {
			return err
		}
		p.done()
	case x < 99:
		old := p.now().generation
		if len(p.ends) == 0 {
			return nil
		}
		kept := slices.Sorted(maps.Keys(p.ends))
		g := kept[p.r.IntN(len(kept))]
		s := p.ends[g].clone()
		s.generation = old + 1
		p.becomes(s)
		if err := p.m.Rollback(g); err != nil {
			return err
		}
		p.done()
	}
	return nil
}

func (p *player) flush() error {
	if err := p.m.Flush(); err != nil {
		return err
	}
	p.done()
	return nil
}

// TestModel compares a cartridge with a model after random operations, mounted again now and
// then, and each of its generations with what it was.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			tape := newTape(t, cartridge.Identity{Capacity: 1 << 30, SegmentSize: 256 << 10}, cartridge.Options{
				FrameSize: 64 << 10, Compression: cartridge.Compression(seed % 2)})
			m, err := cartridge.Open(tape.dir, tape.opt)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlayer(seed, m)
			for i := range 600 {
				if err := p.step(); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if i%60 == 59 {
					if s, err := look(p.m); err != nil || !s.equal(p.now()) {
						t.Fatalf("step %d: %v, %v; want %v", i, s, err, p.now())
					}
				}
				if i%150 == 149 {
					if err := p.m.Close(); err != nil {
						t.Fatal(err)
					}
					checkClean(t, tape.dir, tape.opt)
					if p.m, err = cartridge.Open(tape.dir, tape.opt); err != nil {
						t.Fatal(err)
					}
				}
			}
			checkGenerations(t, tape.dir, tape.opt, p)
			if err := p.m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// checkClean runs Check.
func checkClean(t *testing.T, dir string, o cartridge.Options) {
	t.Helper()
	faults, err := cartridge.Check(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Errorf("check: %v", f)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// checkGenerations reads the generations of a tape that is mounted.
func checkGenerations(t *testing.T, dir string, o cartridge.Options, p *player) {
	t.Helper()
	all, err := cartridge.Generations(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all[:len(all)-1] {
		want, ok := p.ends[g.Number]
		if !ok {
			t.Fatalf("generation %d of %d", g.Number, p.now().generation)
		}
		m, err := cartridge.OpenGeneration(dir, g.Number, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := look(m)
		if err != nil || !s.equal(want) {
			t.Fatalf("generation %d: %v, %v; want %v", g.Number, s, err, want)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPrune lets generations go in between, and compares those that are left.
func TestPrune(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			tape := newTape(t, cartridge.Identity{Capacity: 1 << 30, SegmentSize: cartridge.MinSegment}, cartridge.Options{FrameSize: 16 << 10})
			m, err := cartridge.Open(tape.dir, tape.opt)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlayer(seed+100, m)
			p.largest = 20_000
			segments := 0
			for i := range 1200 {
				if err := p.step(); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if i%100 != 99 {
					continue
				}
				if i == 599 {
					g, err := cartridge.OpenGeneration(tape.dir, p.m.Generations()[0].Number, tape.opt)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := p.m.Prune(cartridge.Retention{}); !errors.Is(err, cartridge.ErrInUse) {
						t.Fatalf("pruned while a generation is open: %v", err)
					}
					if err := g.Close(); err != nil {
						t.Fatal(err)
					}
				}
				before := len(p.m.Generations())
				pruned, err := p.m.Prune(cartridge.Retention{Count: 3})
				if err != nil {
					t.Fatal(err)
				}
				segments += pruned.Segments
				if n := len(p.m.Generations()); n > 4 || n != before-pruned.Generations {
					t.Fatalf("%d of %d generations left, %+v", n, before, pruned)
				}
				for g := range p.ends {
					if g+3 < p.now().generation {
						delete(p.ends, g) // not to be gone back to
					}
				}
				if s, err := look(p.m); err != nil || !s.equal(p.now()) {
					t.Fatalf("step %d: %v, %v; want %v", i, s, err, p.now())
				}
				checkGenerations(t, tape.dir, tape.opt, p)
				if err := p.m.Close(); err != nil {
					t.Fatal(err)
				}
				checkClean(t, tape.dir, tape.opt)
				if p.m, err = cartridge.Open(tape.dir, tape.opt); err != nil {
					t.Fatal(err)
				}
			}
			if segments == 0 {
				t.Error("no segment was given back")
			}
			if err := p.m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

package cartridge

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// Generation is how the tape was from one overwrite, erasure or format to the next.
type Generation struct {
	Number uint64
	Began  time.Time
	Ended  time.Time // zero: it is the current one
	Why    Why       // it began
	// Partition and Object are where an overwrite or erasure was.
	Partition int
	Object    uint64
	From      uint64 // what a rollback went back to
	// Partitions are as they were at its end.
	Partitions []medium.Partition
}

// Objects are those of all partitions.
func (g *Generation) Objects() (n uint64) {
	for _, p := range g.Partitions {
		n += p.Objects
	}
	return n
}

// Used is what its objects take, in bytes after compression. Generations share objects.
func (g *Generation) Used() (n int64) {
	for _, p := range g.Partitions {
		n += p.Used
	}
	return n
}

// ErrNoGeneration means that a generation is not kept, or never was.
var ErrNoGeneration = errors.New("no such generation")

func (s *state) partitions() []medium.Partition {
	var all []medium.Partition
	for _, p := range s.parts[:s.n] {
		all = append(all, medium.Partition{Objects: p.objects, Filemarks: p.filemarks, Capacity: p.capacity, Used: p.used, Written: p.written, Stored: p.stored})
	}
	return all
}

// generations lists what segs tell of, up to now.
func generations(segs []*segment, created time.Time, now state) []Generation {
	var all []Generation
	g := Generation{Began: created}
	for _, s := range segs {
		for i := range s.starts {
			x := &s.starts[i]
			if g.Number = x.before.generation; g.Number >= now.released {
				g.Ended, g.Partitions = x.when, x.before.partitions()
				all = append(all, g)
			}
			g = Generation{Began: x.when, Why: x.why, Partition: x.partition, From: x.from}
			if x.why == Overwritten || x.why == Erased {
				g.Object = x.after.parts[x.partition].objects
			}
		}
	}
	g.Number, g.Partitions = now.generation, now.partitions()
	return append(all, g)
}

// Generations are those that are kept, oldest first; the last is the current one.
func (m *Cartridge) Generations() []Generation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return generations(m.segs, m.identity.Created, m.state)
}

// Generations lists those of the cartridge in dir, which may be in use.
func Generations(dir string, o Options) ([]Generation, error) {
	m, err := newCartridge(dir, o)
	if err != nil {
		return nil, err
	}
	readers, err := m.fs.Lock(filepath.Join(dir, readersName), true)
	if err != nil {
		return nil, err
	}
	defer readers.Close() //nolint:errcheck // nothing was written to it
	k, err := m.loader.load(noLimit, 0)
	if err != nil {
		return nil, err
	}
	return generations(k.segs, m.identity.Created, k.state), nil
}

// ended is the record that ended generation g, and its segment; nil when it is not there.
func ended(segs []*segment, g uint64) (*segment, *start) {
	for _, s := range segs {
		for i := range s.starts {
			if s.starts[i].before.generation == g {
				return s, &s.starts[i]
			}
		}
	}
	return nil, nil
}

// past is how the tape was at the end of generation g.
func (l *loader) past(k []*segment, now state, g uint64) (state, attributes, error) {
	if g < now.released || g >= now.generation {
		return state{}, attributes{}, fmt.Errorf("%w: %d of %d to %d", ErrNoGeneration, g, now.released, now.generation)
	}
	s, x := ended(k, g)
	if x == nil {
		return state{}, attributes{}, fmt.Errorf("%w: the segment with the end of generation %d", medium.ErrCorrupt, g)
	}
	head := &segment{number: s.number, salt: s.salt, first: s.first, last: s.first - 1, committed: s.committed, end: segmentHeader}
	t, err := l.scan(&candidate{segment: head, limit: x.record}, x.record)
	if err != nil {
		return state{}, attributes{}, err
	}
	return x.before, t.attrs, nil
}

// OpenGeneration mounts generation g of the cartridge in dir, read only, as it was at its
// end. The cartridge may be in use at the same time. Nothing is reclaimed until Close.
func OpenGeneration(dir string, g uint64, o Options) (*Cartridge, error) {
	m, err := newCartridge(dir, o)
	if err != nil {
		return nil, err
	}
	m.readOnly = true
	if m.lock, err = m.fs.Lock(filepath.Join(dir, readersName), true); err != nil {
		return nil, err
	}
	if err := m.installPast(g); err != nil {
		return nil, errors.Join(err, m.lock.Close())
	}
	return m, nil
}

func (m *Cartridge) installPast(g uint64) error {
	k, err := m.loader.load(noLimit, 0)
	if err != nil {
		return err
	}
	m.install(k)
	if g == k.state.generation {
		return nil
	}
	s, attrs, err := m.loader.past(k.segs, k.state, g)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view = replay(k.segs, g, nil)
	m.view.limit(&s, nil)
	m.state, m.log, m.durable, m.attrs = s, s, s, attrs
	return nil
}

// Rollback makes the tape what it was at the end of generation g: a new generation, so that
// it can be undone, too. It is durable when it returns.
func (m *Cartridge) Rollback(g uint64) error {
	m.wmu.Lock()
	err := m.rollback(g)
	m.wmu.Unlock()
	return errors.Join(err, m.flushAfter(err))
}

func (m *Cartridge) rollback(g uint64) error {
	if err := m.begin(); err != nil {
		return err
	}
	if m.identity.WORM {
		return medium.ErrWORM
	}
	if err := m.drain(); err != nil {
		return err
	}
	m.mu.Lock()
	now, segs := m.log, slices.Clone(m.segs)
	m.mu.Unlock()
	s, attrs, err := m.loader.past(segs, now, g)
	if err != nil {
		return err
	}
	s.generation, s.released = now.generation, now.released
	return m.generation(beginning{why: RolledBack, from: g, when: m.opt.now(), before: now, after: s, attrs: &attrs})
}

// Rollback rolls the cartridge in dir back, which must not be in use.
func Rollback(dir string, g uint64, o Options) error {
	m, err := Open(dir, o)
	if err != nil {
		return err
	}
	return errors.Join(m.Rollback(g), m.Close())
}

// Retention says how long generations are kept that are not current any more: for Age after
// their end, and the last Count in any case.
type Retention struct {
	Age   time.Duration
	Count int
}

// Pruned is what Prune let go.
type Pruned struct {
	Generations int
	Segments    int
}

// Prune lets generations go that need not be kept, and gives back the space of segments that
// no other needs. While a generation is open it lets none go, with ErrInUse.
func (m *Cartridge) Prune(r Retention) (Pruned, error) {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if err := m.begin(); err != nil {
		return Pruned{}, err
	}
	if err := m.drain(); err != nil {
		return Pruned{}, err
	}
	readers, err := m.fs.Lock(filepath.Join(m.dir, readersName), false)
	if err != nil {
		return Pruned{}, fmt.Errorf("a generation is open: %w", err)
	}
	defer readers.Close() //nolint:errcheck // nothing was written to it
	all := m.Generations()
	old := all[:len(all)-1]
	floor, n := all[0].Number, 0
	for i, g := range old {
		if m.opt.now().Sub(g.Ended) < r.Age || len(old)-i <= r.Count {
			break
		}
		floor, n = g.Number+1, i+1
	}
	m.mu.Lock()
	k := checkpoint{purpose: atRelease, state: m.log, attrs: m.attrs}
	m.mu.Unlock()
	if floor > k.state.released {
		k.state.released = floor
		err := m.append(header{kind: checkpointRecord}, k.appendTo(nil), nil, func(*header, *segment, int64) {
			m.log.released, m.state.released = floor, floor
		})
		if err != nil {
			return Pruned{}, err
		}
	}
	// Nothing goes before the tape without it is durable.
	if err := m.commit(m.capture(), false); err != nil {
		return Pruned{}, err
	}
	p := Pruned{Generations: n}
	p.Segments, err = m.reclaim(floor)
	return p, errors.Join(err, m.removeBad())
}

// removeBad removes what prepare set aside.
func (m *Cartridge) removeBad() error {
	names, err := m.fs.List(m.dir)
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix+badSuffix) {
			err = errors.Join(err, m.fs.Remove(filepath.Join(m.dir, name)))
		}
	}
	return err
}

// reclaim removes the segments that no generation from floor on needs. Under wmu, when all is
// durable.
func (m *Cartridge) reclaim(floor uint64) (n int, err error) {
	m.mu.Lock()
	gone := unneeded(m.segs, floor)
	m.segs = slices.DeleteFunc(slices.Clone(m.segs), func(s *segment) bool { return gone[s] })
	segs := m.segs
	m.mu.Unlock()
	if len(gone) == 0 {
		return 0, nil
	}
	for s := range gone {
		if err = m.fs.Remove(m.loader.path(s.number)); err != nil {
			break // the next mount sees it, and the next Prune tries again
		}
		n++
	}
	m.w.catalog.close()
	m.w.catalog.begin(m.fs, m.dir, segs)
	return n, errors.Join(err, m.fs.SyncDir(m.dir))
}

// unneeded are the segments that no generation from floor on has data in, and whose records
// are not needed to tell what these have.
func unneeded(segs []*segment, floor uint64) map[*segment]bool {
	gone := map[*segment]bool{}
	ends := map[uint64]bool{} // of generations that were gone back to
	for _, s := range segs {
		gone[s] = s.sealed
		for i := range s.starts {
			if x := &s.starts[i]; x.why == RolledBack {
				ends[x.from] = true
				gone[s] = false
			} else if x.after.generation >= floor {
				gone[s] = false
			}
		}
	}
	for _, s := range segs {
		for i := range s.starts {
			if ends[s.starts[i].before.generation] {
				gone[s] = false
			}
		}
	}
	v := replay(segs, noLimit, func(p piece, last uint64) {
		if last >= floor {
			gone[p.seg] = false
		}
	})
	for _, pieces := range v {
		for _, p := range pieces {
			gone[p.seg] = false
		}
	}
	if len(segs) > 0 {
		gone[segs[len(segs)-1]] = false
	}
	for s, is := range gone {
		if !is {
			delete(gone, s)
		}
	}
	return gone
}

// Prune prunes the cartridge in dir, which must not be in use.
func Prune(dir string, r Retention, o Options) (Pruned, error) {
	m, err := Open(dir, o)
	if err != nil {
		return Pruned{}, err
	}
	p, err := m.Prune(r)
	return p, errors.Join(err, m.Close())
}

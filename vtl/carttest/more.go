package carttest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/targate/targate/vtl/medium"
)

func attribute(id uint16, v string) medium.Attribute {
	return medium.Attribute{ID: id, Format: 1, Value: []byte(v)}
}

func testAttributes(t *testing.T, s Suite) {
	tape := s.New(t, false, ample)
	m, err := tape.Mount(false)
	must(t, err)
	if _, ok := m.Attribute(0, 0x0800); ok || len(m.Attributes(0)) != 0 {
		t.Fatal("a blank tape has attributes")
	}
	must(t, m.Format([]int64{1000, 1000}))
	must(t, m.SetAttributes(0))
	must(t, m.SetAttributes(0, attribute(0x0801, "b"), attribute(0x0800, "a"), attribute(0x0806, "c")))
	must(t, m.SetAttributes(1, attribute(0x0800, "other")))
	must(t, m.SetAttributes(0, attribute(0x0801, ""), attribute(0x0806, "C"), attribute(0x0999, "")))
	if err := m.SetAttributes(0, attribute(0x0800, "x"), medium.Attribute{ID: 1, Value: make([]byte, medium.MaxAttribute+1)}); err == nil {
		t.Error("an attribute that is too long")
	}
	must(t, m.SetAttributes(1, medium.Attribute{ID: 2, Value: make([]byte, medium.MaxAttribute)}))
	look := func() {
		t.Helper()
		want := fmt.Sprint([]medium.Attribute{attribute(0x0800, "a"), attribute(0x0806, "C")})
		if got := fmt.Sprint(m.Attributes(0)); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		if a, ok := m.Attribute(1, 0x0800); !ok || string(a.Value) != "other" || a.Format != 1 {
			t.Fatalf("%+v %v", a, ok)
		}
		if a, ok := m.Attribute(1, 2); !ok || len(a.Value) != medium.MaxAttribute {
			t.Fatalf("%d bytes", len(a.Value))
		}
	}
	look()
	must(t, m.Write(0, 0, []byte("x"), medium.Recording{}))
	must(t, m.Truncate(0, 0))
	look()
	must(t, m.Close())
	m, err = tape.Mount(false)
	must(t, err)
	look()
	must(t, m.Format([]int64{1000})) // partition 1 goes
	must(t, m.Format([]int64{1000, 1000}))
	if a := m.Attributes(1); len(a) != 0 || len(m.Attributes(0)) != 2 {
		t.Fatalf("after a format: %v %v", m.Attributes(0), a)
	}
	must(t, m.Close())
}

func testFormat(t *testing.T, s Suite) {
	m := s.open(t)
	must(t, m.Write(0, 0, []byte("x"), medium.Recording{}))
	for n := 1; n <= medium.MaxPartitions; n++ {
		var sizes []int64
		for p := range n {
			sizes = append(sizes, int64(1<<20*(p+1)))
		}
		g := m.Info().Generation
		must(t, m.Format(sizes))
		if m.Partitions() != n || m.Info().Generation != g+1 {
			t.Fatalf("%d partitions, generation %d", m.Partitions(), m.Info().Generation)
		}
		for p := range n {
			if x := m.Partition(p); x != (medium.Partition{Capacity: sizes[p]}) {
				t.Fatalf("partition %d: %+v", p, x)
			}
		}
		all := make([][][]byte, n)
		for i := range 40 { // they take turns
			p := i % n
			var b []byte
			if i%5 == 0 {
				must(t, m.WriteFilemarks(p, uint64(len(all[p])), 1))
			} else {
				b = Data(500+i, uint64(i))
				must(t, m.Write(p, uint64(len(all[p])), b, medium.Recording{Compress: i%3 == 0}))
			}
			all[p] = append(all[p], b)
		}
		must(t, m.Write(0, 1, []byte("overwritten"), medium.Recording{}))
		all[0] = append(all[0][:1:1], []byte("overwritten"))
		for p := range n {
			check(t, m, p, all[p])
		}
		must(t, m.Flush())
		for p := range n {
			check(t, m, p, all[p])
		}
	}
}

func testSetCapacity(t *testing.T, s Suite) {
	m := s.open(t)
	must(t, m.Write(0, 0, []byte("x"), medium.Recording{}))
	for _, n := range []uint16{65535, 32767, 1, 0, 65535} {
		must(t, m.SetCapacity(n))
		want := int64(ample) * int64(n) / 65535
		if x := m.Partition(0); x.Objects != 0 || x.Capacity != want || m.Partitions() != 1 {
			t.Fatalf("%d of 65535: %+v, want %d bytes", n, x, want)
		}
		if err := m.Format([]int64{want, 1}); err == nil {
			t.Fatal("partitions beyond what was set")
		}
	}
	must(t, m.Write(0, 0, []byte("y"), medium.Recording{}))
}

func testFull(t *testing.T, s Suite) {
	const capacity = 100_000
	m := Open(t, s.New(t, false, capacity))
	var objects [][]byte
	for i := range 9 {
		b := Data(10_000, uint64(i))
		must(t, m.Write(0, uint64(len(objects)), b, medium.Recording{}))
		objects = append(objects, b)
	}
	wantIs(t, m.Write(0, 9, Data(10_001, 0), medium.Recording{}), medium.ErrFull)
	wantIs(t, m.Write(0, 9, Text(10_001, 0), medium.Recording{Compress: true}), medium.ErrFull)
	check(t, m, 0, objects)
	b := Data(10_000, 9)
	must(t, m.Write(0, 9, b, medium.Recording{}))
	objects = append(objects, b)
	wantIs(t, m.Write(0, 10, []byte("x"), medium.Recording{}), medium.ErrFull)
	must(t, m.WriteFilemarks(0, 10, 3)) // they always fit: a tape has to be ended
	objects = append(objects, nil, nil, nil)
	wantIs(t, m.Write(0, 13, []byte("x"), medium.Recording{}), medium.ErrFull)
	wantIs(t, m.Write(0, 5, Data(50_001, 0), medium.Recording{}), medium.ErrFull)
	if g := m.Info().Generation; g != 0 {
		t.Fatal("an overwrite that did not fit took something away")
	}
	must(t, m.Flush())
	check(t, m, 0, objects)
	if x := m.Partition(0); x.Used != capacity {
		t.Fatalf("%+v", x)
	}
	b = Data(50_000, 1)
	must(t, m.Write(0, 5, b, medium.Recording{}))
	check(t, m, 0, append(objects[:5:5], b))
	if x := m.Partition(0); x.Used != capacity {
		t.Fatalf("%+v", x)
	}
	// What waits to be compressed does not count uncompressed for long.
	must(t, m.Truncate(0, 0))
	for i := range uint64(20) {
		if err := m.Write(0, i, Text(10_000, i), medium.Recording{Compress: true}); err != nil {
			t.Fatalf("block %d of text: %v, %+v", i, err, m.Partition(0))
		}
	}
}

func testWORM(t *testing.T, s Suite) {
	m := Open(t, s.New(t, true, ample))
	if !m.Info().WORM {
		t.Fatal("it is not WORM")
	}
	must(t, m.Truncate(0, 0))
	must(t, m.Format([]int64{1 << 20}))
	b := Data(1000, 1)
	must(t, m.Write(0, 0, b, medium.Recording{}))
	must(t, m.WriteFilemarks(0, 1, 1))
	for range 2 {
		wantIs(t, m.Write(0, 0, b, medium.Recording{}), medium.ErrWORM)
		wantIs(t, m.Write(0, 1, b, medium.Recording{}), medium.ErrWORM)
		wantIs(t, m.WriteFilemarks(0, 1, 1), medium.ErrWORM)
		wantIs(t, m.Truncate(0, 0), medium.ErrWORM)
		wantIs(t, m.Format([]int64{1 << 20}), medium.ErrWORM)
		wantIs(t, m.SetCapacity(65535), medium.ErrWORM)
		must(t, m.Flush())
	}
	must(t, m.Truncate(0, 2))
	must(t, m.Write(0, 2, b, medium.Recording{}))
	must(t, m.SetAttributes(0, attribute(0x0800, "x")))
	check(t, m, 0, [][]byte{b, nil, b})
}

func testReadOnly(t *testing.T, s Suite) {
	tape := s.New(t, false, ample)
	m, err := tape.Mount(false)
	must(t, err)
	if _, err := tape.Mount(false); err == nil {
		t.Fatal("mounted twice")
	}
	b := Data(1000, 1)
	must(t, m.Write(0, 0, b, medium.Recording{}))
	must(t, m.Close())
	m, err = tape.Mount(true)
	must(t, err)
	if !m.Info().ReadOnly {
		t.Error("it does not say that it is read only")
	}
	wantIs(t, m.Write(0, 1, b, medium.Recording{}), medium.ErrReadOnly)
	wantIs(t, m.WriteFilemarks(0, 0, 1), medium.ErrReadOnly)
	wantIs(t, m.Truncate(0, 0), medium.ErrReadOnly)
	wantIs(t, m.Format([]int64{1}), medium.ErrReadOnly)
	wantIs(t, m.SetCapacity(1), medium.ErrReadOnly)
	wantIs(t, m.SetAttributes(0, attribute(0x0800, "x")), medium.ErrReadOnly)
	must(t, m.Flush())
	check(t, m, 0, [][]byte{b})
	must(t, m.Close())
}

func testClosed(t *testing.T, s Suite) {
	tape := s.New(t, false, ample)
	m, err := tape.Mount(false)
	must(t, err)
	must(t, m.Close())
	must(t, m.Close())
	if err := m.Write(0, 0, []byte("x"), medium.Recording{}); err == nil {
		t.Error("a write")
	}
	if _, err := m.Read(0, 0, nil, nil); err == nil {
		t.Error("a read")
	}
}

// testConcurrent reads all the time while one writes, overwrites and flushes.
func testConcurrent(t *testing.T, s Suite) {
	m := s.open(t)
	block := func(i uint64) []byte { return bytes.Repeat([]byte{byte(i)}, 1000+int(i%7)*10_000) }
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for r := range 3 {
		wg.Go(func() {
			dst := make([]byte, 100_000)
			for i := uint64(r); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				n := m.Partition(0).Objects
				if n == 0 {
					continue
				}
				at := i % n
				o, err := m.Read(0, at, dst, nil)
				if err != nil && !errors.Is(err, medium.ErrCorrupt) {
					t.Error(err)
					return
				}
				if err == nil && o.Kind == medium.Block && !bytes.Equal(dst[:o.Length], block(at)) {
					t.Errorf("object %d is not what was written", at)
					return
				}
				_, _ = m.FilemarksBefore(0, at)
			}
		})
	}
	for round := range uint64(3) {
		for i := uint64(0); i < 200; i++ {
			if i == 0 && round > 0 {
				i = 100
			}
			must(t, m.Write(0, i, block(i), medium.Recording{Compress: i%2 == 0}))
			if i%50 == 0 {
				must(t, m.Flush())
			}
		}
	}
	close(stop)
	wg.Wait()
}

//go:build system

package sam

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// trace is what the filter of a held disk tells of calls to its store.
type trace struct {
	hold string // the file that keeps calls

	fifo *os.File

	mu    sync.Mutex
	cond  *sync.Cond
	lines []string
	marks int // of sync: written, and read
	seen  int
}

// mark is a line of our own in the FIFO.
const mark = "mark"

// newTrace reads the FIFO at path for the life of the test program. It is opened for
// writing too, so that it has no end while the server is away.
func newTrace(path, hold string) (*trace, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	tr := &trace{hold: hold, fifo: f}
	tr.cond = sync.NewCond(&tr.mu)
	go func() {
		for sc := bufio.NewScanner(f); sc.Scan(); {
			tr.mu.Lock()
			if sc.Text() == mark {
				tr.seen++
			} else {
				tr.lines = append(tr.lines, sc.Text())
			}
			tr.cond.Broadcast()
			tr.mu.Unlock()
		}
	}()
	return tr, nil
}

// limit is how long any one wait may take.
const limit = 10 * time.Second

// wait waits until all of lines were told since reset, in any order.
func (tr *trace) wait(t *testing.T, lines ...string) {
	t.Helper()
	late := false
	timer := time.AfterFunc(limit, func() {
		tr.mu.Lock()
		late = true
		tr.cond.Broadcast()
		tr.mu.Unlock()
	})
	defer timer.Stop()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, l := range lines {
		for !slices.Contains(tr.lines, l) {
			if late {
				t.Fatalf("the store was not told %q; it was told:\n%s", l, strings.Join(tr.lines, "\n"))
			}
			tr.cond.Wait()
		}
	}
}

// sync waits until all is read that the server wrote before, and locks mu.
func (tr *trace) sync() {
	tr.mu.Lock()
	tr.marks++
	want := tr.marks
	if _, err := fmt.Fprintln(tr.fifo, mark); err != nil {
		panic(err) // a FIFO that is open for reading, here
	}
	for tr.seen < want {
		tr.cond.Wait()
	}
}

// told gives the lines since reset.
func (tr *trace) told() []string {
	tr.sync()
	defer tr.mu.Unlock()
	return slices.Clone(tr.lines)
}

// index is where a line stands, -1 if it was not told.
func (tr *trace) index(line string) int { return slices.Index(tr.told(), line) }

// held makes the disk at lun keep calls to its held blocks. release lets them go on; it
// is called at the end of the case at the latest.
func held(t *testing.T, lun uint16) (tr *trace, release func()) {
	t.Helper()
	tr = lab.traces[lun]
	if err := os.WriteFile(tr.hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tr.sync()
	tr.lines = nil
	tr.mu.Unlock()
	release = sync.OnceFunc(func() {
		if err := os.Remove(tr.hold); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return tr, release
}

func begins(op string, lba, n int) string { return fmt.Sprintf("begin %s %d %d", op, lba, n) }
func ends(op string, lba, n int) string   { return fmt.Sprintf("end %s %d %d ok", op, lba, n) }

package filter_test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/handlers/filter"
	"github.com/targate/targate/handlers/mem"
)

const blockSize = 512

// wrap makes a store of 1 MiB of memory behind rules.
func wrap(t *testing.T, text string) block.Store {
	t.Helper()
	next, err := mem.New(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := filter.Wrap(next, blockSize, rules)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "no rule"},
		{" ; ", "no rule"},
		{"stop", `not "stop"`},
		{"hold", `needs the key "while"`},
		{"hold while=pause", "absolute"},
		{"delay time=soon", "duration"},
		{"delay time=-1s", "duration"},
		{"delay time", "not key=value"},
		{"delay time=1s time=2s", "twice"},
		{"delay time=1s to=/x", `no key "to"`},
		{"fail class=bad", `class "bad"`},
		{"fail class=medium op=reed", `op "reed"`},
		{"fail class=medium lba=5..4", "range of blocks"},
		{"fail class=medium lba=-1", "range of blocks"},
		{"trace to=x", "absolute"},
		{"delay time=1ms; fail", `"fail": fail needs`},
	} {
		if _, err := filter.Parse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestFail(t *testing.T) {
	s := wrap(t, "fail op=write lba=10..11 class=no-space; fail op=read lba=20 class=medium; fail op=flush class=gone")
	p := make([]byte, 4*blockSize)
	for _, tt := range []struct {
		name string
		err  error
		want error
		off  int64
	}{
		{"write before", s.WriteAt(p, 6*blockSize, 0), nil, 0},
		{"write after", s.WriteAt(p, 12*blockSize, 0), nil, 0},
		{"write across the begin", s.WriteAt(p, 8*blockSize, 0), block.ErrNoSpace, 10 * blockSize},
		{"write at the end", s.WriteAt(p, 11*blockSize, 0), block.ErrNoSpace, 11 * blockSize},
		{"read where writes fail", s.ReadAt(p, 10*blockSize, 0), nil, 0},
		{"zero where writes fail", s.Zero(10*blockSize, blockSize, 0), nil, 0},
		{"flush", s.Flush(), block.ErrGone, 0},
	} {
		var at *block.Error
		if !errors.Is(tt.err, tt.want) || tt.want != nil && (!errors.As(tt.err, &at) || at.Off != tt.off) {
			t.Errorf("%s: %v, want %v at byte %d", tt.name, tt.err, tt.want, tt.off)
		}
	}
	var at *block.Error
	if err := s.ReadAt(p, 18*blockSize, 0); !errors.As(err, &at) || at.Off != 20*blockSize {
		t.Errorf("read: %v", err)
	}
}

func TestFailWhile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken")
	s := wrap(t, "fail class=corrupt while="+file)
	p := make([]byte, blockSize)
	if err := s.ReadAt(p, 0, 0); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.ReadAt(p, 0, 0); !errors.Is(err, block.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// TestHold has a trace before the hold tell that the call is held.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	file, log := filepath.Join(dir, "pause"), filepath.Join(dir, "log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := wrap(t, "trace to="+log+"; hold op=write lba=8 while="+file)
	p := []byte(strings.Repeat("x", blockSize))
	done := make(chan error)
	go func() { done <- s.WriteAt(p, 8*blockSize, 0) }()
	for {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) == "begin write 8 1\n" {
			break
		}
	}
	got := make([]byte, blockSize)
	if err := s.ReadAt(got, 8*blockSize, 0); err != nil || got[0] != 0 {
		t.Errorf("a held write is on the medium: %q, %v", got[0], err)
	}
	select {
	case err := <-done:
		t.Fatalf("the write was not held: %v", err)
	default:
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.ReadAt(got, 8*blockSize, 0); err != nil || got[0] != 'x' {
		t.Errorf("got %q, %v", got[0], err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last := ""
	for sc := bufio.NewScanner(f); sc.Scan(); {
		last = sc.Text()
	}
	if last != "end read 8 1 ok" {
		t.Errorf("the last line is %q", last)
	}
}

func TestDelay(t *testing.T) {
	s := wrap(t, "delay time=20ms op=flush")
	begin := time.Now()
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d < 20*time.Millisecond {
		t.Errorf("a flush took %v", d)
	}
}

// TestStore runs what every store must do through rules that change nothing.
func TestStore(t *testing.T) {
	rules, err := filter.Parse("delay time=1ns; fail class=medium while=/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	blocktest.Run(t, blocktest.Suite{Open: func(tb testing.TB, size int64) block.Store {
		next, err := mem.New(size)
		if err != nil {
			tb.Fatal(err)
		}
		s, err := filter.Wrap(next, blockSize, rules)
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}})
}

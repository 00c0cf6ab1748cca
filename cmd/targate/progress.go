package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress is a bar on a terminal, and nothing elsewhere. It is safe for concurrent use.
type progress struct {
	w     io.Writer // nil: nobody looks
	what  string
	total int64 // 0: not known
	unit  func(int64) string
	begun time.Time

	mu    sync.Mutex // guards the rest
	shown time.Time
	width int // of the line that is on the terminal
}

func countUnit(n int64) string { return fmt.Sprint(n) }

// newProgress begins a bar.
func newProgress(w io.Writer, what string, total int64, unit func(int64) string) *progress {
	p := &progress{what: what, total: total, unit: unit, begun: time.Now()}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

// barEvery is how often a terminal is written to at most.
const barEvery = 100 * time.Millisecond

// set says that done of the total is done, and what is under way.
func (p *progress) set(done int64, now string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w == nil || time.Since(p.shown) < barEvery {
		return
	}
	p.shown = time.Now()
	p.show(p.line(done, now))
}

const barWidth = 30

func (p *progress) line(done int64, now string) string {
	line := p.what + " " + p.unit(done)
	if p.total > 0 {
		full := int(min(done, p.total) * barWidth / p.total)
		line = fmt.Sprintf("%s [%s%s] %s of %s", p.what, strings.Repeat("#", full), strings.Repeat("-", barWidth-full), p.unit(done), p.unit(p.total))
	}
	if took := time.Since(p.begun); done > 0 && p.total > done && took > time.Second {
		line += fmt.Sprintf(", %s left", (took * time.Duration(p.total-done) / time.Duration(done)).Round(time.Second))
	}
	return strings.TrimSpace(line + " " + now)
}

// show puts line where the last one was.
func (p *progress) show(line string) {
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.width = len(line)
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil && p.width > 0 {
		p.show("")
		fmt.Fprint(p.w, "\r")
	}
	p.w = nil
}

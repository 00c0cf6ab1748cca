// Command bench compares the speed of targate with Debian's tgtd: the same client
// (iload.c), the same kind of file on tmpfs, servers pinned, rounds alternating
// between the servers so that a change of the machine's mood meets all of them, and
// medians. Only ratios within a row mean something: absolute figures drift.
//
// Stacked, the default, puts client and server on one core: it shows what a
// command costs in all. Split gives each a core of its own and shows wake-ups too.
//
// With -against another build of targate takes the place of tgtd.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const defaultServers = "file,mem,tgtd"

type options struct {
	smoke, split, targets, tape bool
	rounds                      int
	seconds                     float64
	servers, only, json         string
	against                     string
}

func run(ctx context.Context) error {
	var o options
	flag.BoolVar(&o.smoke, "smoke", false, "a few short rows: does it work at all; no verdict on speed")
	flag.BoolVar(&o.tape, "tape", false, "the tape library instead of disks (-smoke and -rounds count there, too)")
	flag.BoolVar(&o.split, "split", false, "server and client on different cores")
	flag.BoolVar(&o.targets, "targets", false, "only the rows that have a target")
	flag.IntVar(&o.rounds, "rounds", 5, "alternating rounds for each row")
	flag.Float64Var(&o.seconds, "seconds", 1, "length of one measurement")
	flag.StringVar(&o.servers, "servers", defaultServers, "what to measure, of file, mem, null, tgtd")
	flag.StringVar(&o.against, "against", "", "another targate program, as an older build: measured in turn with this one, instead of tgtd")
	flag.StringVar(&o.only, "only", "", "regular expression for rows, such as '^read 4 KiB q(1|32)$'")
	flag.StringVar(&o.json, "json", "", "write the figures to this file too")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.smoke {
		o.rounds, o.seconds = 1, 0.2
	}
	if o.against != "" && o.servers == defaultServers {
		o.servers = "file,mem"
	}
	if o.tape {
		return runTape(ctx, o)
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	rows := chooseRows(o, only)
	if len(rows) == 0 {
		return errors.New("no row is left to measure")
	}

	// tmpfs: no disk below it, and file and mem differ by the store only.
	dir, err := os.MkdirTemp("/dev/shm", "targate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // nothing to be done
	l, err := newLab(ctx, dir, o)
	if err != nil {
		return err
	}
	err = l.measure(ctx, rows)
	return errors.Join(err, l.close(), func() error {
		if err != nil {
			return nil
		}
		return l.report(rows)
	}())
}

// row is one kind of work.
type row struct {
	Work  string // read or write
	Bytes int
	Depth int
}

func (r row) String() string { return fmt.Sprintf("%s %s q%d", r.Work, size(r.Bytes), r.Depth) }

func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// target is the least ratio of IOPS to tgtd's that a row must show.
type target struct {
	row   row
	ratio float64
}

var targets = []target{
	{row{"read", 512, 32}, 6},
	{row{"read", 4 << 10, 32}, 5},
	{row{"write", 4 << 10, 32}, 4.5},
	{row{"read", 4 << 10, 1}, 1.7},
	{row{"write", 4 << 10, 1}, 1.7},
	{row{"read", 64 << 10, 8}, 2.5},
	{row{"write", 64 << 10, 8}, 1.8},
	{row{"read", 256 << 10, 4}, 2.2},
	{row{"read", 1 << 20, 4}, 2.2},
	{row{"write", 1 << 20, 4}, 1.4},
}

// cpuTarget is the most of tgtd's CPU time per I/O that targate may use in cpuRows.
const cpuTarget = 0.25

var cpuRows = []row{{"read", 4 << 10, 32}, {"write", 4 << 10, 32}}

func chooseRows(o options, only *regexp.Regexp) []row {
	wanted := map[row]bool{}
	for _, t := range targets {
		wanted[t.row] = true
	}
	var rows []row
	for _, bytes := range []int{512, 4 << 10, 64 << 10, 256 << 10, 1 << 20} {
		for _, work := range []string{"read", "write"} {
			for _, depth := range []int{1, 4, 8, 32} {
				r := row{work, bytes, depth}
				switch {
				case o.targets && !wanted[r], depth == 4 && !wanted[r], !only.MatchString(r.String()):
				case o.smoke && depth != 8:
				default:
					rows = append(rows, r)
				}
			}
		}
	}
	return rows
}

// report prints the table and the verdicts, and fails when a target is missed.
func (l *lab) report(rows []row) error {
	l.table(os.Stdout, rows)
	if l.o.json != "" {
		b, err := json.MarshalIndent(l.results(rows), "", "\t")
		if err == nil {
			err = os.WriteFile(l.o.json, append(b, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if l.o.against != "" && !l.o.smoke {
		return l.reportAgainst(rows)
	}
	if l.o.smoke || l.o.split || !l.has("tgtd") {
		fmt.Printf("bench: %d rows measured on %s, no verdict on speed\n", len(rows), l.o.servers)
		return nil
	}
	var met, all, missed int
	var headline string
	fmt.Println()
	verdict := func(server string, ok bool, format string, args ...any) {
		all++
		word := "PASS"
		if ok {
			met++
		} else if word = "MISS"; server == "file" {
			missed++
		}
		fmt.Printf("%s  %-4s  %s\n", word, server, fmt.Sprintf(format, args...))
	}
	for _, server := range []string{"file", "mem"} {
		if !l.has(server) {
			continue
		}
		for _, t := range targets {
			if got, ok := l.ratio(t.row, server); ok {
				verdict(server, got >= t.ratio, "%-16s %5.2fx tgtd, target %.1fx", t.row, got, t.ratio)
				if server == "file" && t.row == cpuRows[0] {
					headline = fmt.Sprintf("; %s %.1fx tgtd", t.row, got)
				}
			}
		}
		for _, r := range cpuRows {
			mine, peer := l.median(r, server), l.median(r, "tgtd")
			if mine.IOPS > 0 && peer.ServerUS > 0 {
				got := mine.ServerUS / peer.ServerUS
				verdict(server, got <= cpuTarget, "%-16s %5.2f of tgtd's CPU per I/O (%.2f us), target %.2f", r, got, mine.ServerUS, cpuTarget)
			}
		}
	}
	fmt.Printf("bench: %d of %d targets met%s\n", met, all, headline)
	if missed > 0 {
		return fmt.Errorf("%d targets of the file disk missed", missed)
	}
	return nil
}

// results is the form of the JSON file.
type results struct {
	Time    time.Time   `json:"time"`
	Go      string      `json:"go"`
	Split   bool        `json:"split"`
	Rounds  int         `json:"rounds"`
	Seconds float64     `json:"seconds"`
	Rows    []resultRow `json:"rows"`
}

type resultRow struct {
	Row     string             `json:"row"`
	Medians map[string]sample  `json:"medians"` // by server
	Ratios  map[string]float64 `json:"ratios"`  // to tgtd, or to the other program of -against
}

func (l *lab) results(rows []row) results {
	res := results{Time: time.Now().UTC(), Go: runtime.Version(), Split: l.o.split, Rounds: l.o.rounds, Seconds: l.o.seconds}
	for _, r := range rows {
		rr := resultRow{Row: r.String(), Medians: map[string]sample{}, Ratios: map[string]float64{}}
		for _, s := range l.servers {
			rr.Medians[s.name] = l.median(r, s.name)
			if ratio, ok := l.ratio(r, s.name); ok && s.name != "tgtd" {
				rr.Ratios[s.name] = ratio
			}
		}
		res.Rows = append(res.Rows, rr)
	}
	return res
}

// table prints medians, one line a row: for each server thousands of I/Os per
// second, MB/s, server CPU per I/O and the ratio to tgtd.
func (l *lab) table(w *os.File, rows []row) {
	mode := "stacked on one core"
	if l.o.split {
		mode = "split over two cores"
	}
	fmt.Fprintf(w, "medians of %d rounds of %g s, %s; kIOPS, MB/s, server us of CPU per I/O, ratio of IOPS to %s\n",
		l.o.rounds, l.o.seconds, mode, cmp.Or(l.o.against, "tgtd"))
	fmt.Fprintf(w, "%-16s", "work")
	for _, s := range l.servers {
		fmt.Fprintf(w, " | %-33s", s.name)
	}
	fmt.Fprintf(w, "\n%s\n", strings.Repeat("-", 16+36*len(l.servers)))
	for _, r := range rows {
		fmt.Fprintf(w, "%-16s", r)
		for _, s := range l.servers {
			m := l.median(r, s.name)
			fmt.Fprintf(w, " | %8.2f %8.0f %8.2f", m.IOPS/1e3, m.MBps, m.ServerUS)
			if ratio, ok := l.ratio(r, s.name); ok {
				fmt.Fprintf(w, " %5.2fx", ratio)
			} else {
				fmt.Fprintf(w, " %6s", "")
			}
		}
		fmt.Fprintln(w)
	}
}

// compile builds a C program of this directory into dir.
func compile(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	return path, runQuiet("gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", path, beside(name+".c"))
}

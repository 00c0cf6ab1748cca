package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

const (
	diskBytes = 256 << 20
	iqn       = "iqn.2026-11.org.targate:bench"
)

// lab is the running servers and what they showed.
type lab struct {
	o       options
	iload   string
	client  int // the core of the client
	servers []server
	stops   []func() error
	samples map[string]map[row][]sample // by server
}

type server struct {
	name   string
	portal string
	target string
	lun    int
	pid    int
}

// sample is one measurement, in the words of iload.
type sample struct {
	IOPS     float64 `json:"iops"`
	MBps     float64 `json:"mb_per_s"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	ServerUS float64 `json:"server_us_per_io"`
	ClientUS float64 `json:"client_us_per_io"`
	Switches float64 `json:"server_switches_per_io"`
	Errors   int     `json:"errors"`
}

func newLab(ctx context.Context, dir string, o options) (*lab, error) {
	l := &lab{o: o, samples: map[string]map[row][]sample{}}
	var err error
	if l.iload, err = compile(dir, "iload"); err != nil {
		return nil, err
	}
	names := strings.Split(o.servers, ",")
	// The last core: interrupts and strangers prefer the first.
	core := runtime.NumCPU() - 1
	if l.client = core; o.split {
		if core == 0 {
			return nil, errors.New("-split needs two cores")
		}
		l.client = core - 1
	}
	pin := []string{"taskset", "-c", fmt.Sprint(core)}
	if err := l.start(ctx, dir, names, pin); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *lab) start(ctx context.Context, dir string, names, pin []string) error {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("server %q is named twice", name)
		}
		switch name {
		case "tgtd":
			file := filepath.Join(dir, "tgtd.img")
			if err := fill(file); err != nil {
				return err
			}
			p, err := daemon.StartTgtd(daemon.TgtdOptions{Dir: dir, Files: []string{file}, Prefix: pin})
			if err != nil {
				return err
			}
			l.stops = append(l.stops, p.Stop)
			l.servers = append(l.servers, server{name, p.Portal, daemon.TgtdTarget, 1, p.PID})
		case "file", "mem", "null":
			// One process serves all three; it starts with the first.
		default:
			return fmt.Errorf("no server %q: file, mem, null, tgtd", name)
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return n != "tgtd" }) {
		if err := l.startTargate(ctx, filepath.Join(dir, "this"), names, pin, "", ""); err != nil {
			return err
		}
		if l.o.against != "" {
			if err := l.startTargate(ctx, filepath.Join(dir, "other"), names, pin, l.o.against, other); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(l.servers, func(a, b server) int {
		at := func(s server) int { return slices.Index(names, strings.TrimSuffix(s.name, other)) }
		return at(a) - at(b)
	})
	return nil
}

// other marks the servers of the program of -against.
const other = "/other"

// startTargate starts a program, "" for the one under test, whose servers' names end in suffix.
func (l *lab) startTargate(ctx context.Context, dir string, names, pin []string, binary, suffix string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "targate.img")
	if err := fill(file); err != nil {
		return err
	}
	t, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Prefix: pin, Binary: binary, Config: fmt.Sprintf(`
devices:
  - {name: file, handler: file, path: %s}
  - {name: mem,  handler: mem,  size: %d}
  - {name: "null", handler: "null", size: %d}
targets:
  - {iqn: %q, luns: {0: file, 1: mem, 2: "null"}}
`, file, diskBytes, diskBytes, iqn)})
	if err != nil {
		return err
	}
	l.stops = append(l.stops, t.Stop)
	for lun, name := range []string{"file", "mem", "null"} {
		if slices.Contains(names, name) {
			l.servers = append(l.servers, server{name + suffix, t.Portal, iqn, lun, t.PID})
		}
	}
	return fillLUN(ctx, t.Portal, 1)
}

// fill writes a file of random bytes: no holes, whose pages would all be one page
// in the cache.
func fill(path string) error {
	b := make([]byte, diskBytes)
	rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return os.WriteFile(path, b, 0o600)
}

// fillLUN does the same over iSCSI.
func fillLUN(ctx context.Context, portal string, lun uint16) error {
	s, err := initiator.Dial(ctx, initiator.Options{Addr: portal, TargetName: iqn,
		InitiatorName: "iqn.2026-11.org.targate:bench.fill"})
	if err != nil {
		return err
	}
	defer s.Close() // after the last answer
	if err := s.Ready(ctx, lun); err != nil {
		return err
	}
	const blocks = 2048 // 1 MiB
	b := make([]byte, blocks*512)
	rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	for lba := uint32(0); lba < diskBytes/512; lba += blocks {
		r, err := s.Do(ctx, &initiator.Command{LUN: lun, CDB: initiator.Write10(lba, blocks), Out: b})
		if err == nil {
			err = r.Err()
		}
		if err != nil {
			return fmt.Errorf("filling LUN %d at %d: %w", lun, lba, err)
		}
	}
	return s.Logout(ctx)
}

func (l *lab) close() error {
	var errs []error
	for _, stop := range l.stops {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

func (l *lab) has(name string) bool {
	return slices.ContainsFunc(l.servers, func(s server) bool { return s.name == name })
}

// measure takes all rounds of a row before the next row.
func (l *lab) measure(ctx context.Context, rows []row) error {
	for _, r := range rows {
		for round := range l.o.rounds {
			for i := range l.servers {
				// Another server begins each round.
				s := l.servers[(i+round)%len(l.servers)]
				got, err := l.one(ctx, s, r)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r, s.name, err)
				}
				if l.samples[s.name] == nil {
					l.samples[s.name] = map[row][]sample{}
				}
				l.samples[s.name][r] = append(l.samples[s.name][r], got)
			}
		}
		fmt.Fprintf(os.Stderr, "%-16s", r)
		for _, s := range l.servers {
			fmt.Fprintf(os.Stderr, "  %s %.1f k/s", s.name, l.median(r, s.name).IOPS/1e3)
		}
		fmt.Fprintln(os.Stderr)
	}
	return nil
}

func (l *lab) one(ctx context.Context, s server, r row) (sample, error) {
	host, port, err := net.SplitHostPort(s.portal)
	if err != nil {
		return sample{}, err
	}
	limit := time.Duration(l.o.seconds*float64(time.Second)) + 20*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.iload, "-H", host, "-p", port, "-t", s.target, "-l", fmt.Sprint(s.lun),
		"-o", r.Work, "-b", fmt.Sprint(r.Bytes), "-q", fmt.Sprint(r.Depth), "-s", fmt.Sprint(l.o.seconds),
		"-C", fmt.Sprint(l.client), "-P", fmt.Sprint(s.pid))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("%w: %s%s", err, out, stderr.Bytes())
	}
	var got sample
	return got, json.Unmarshal(out, &got)
}

// median gives the round with the median IOPS, whole, so that its figures belong
// together.
func (l *lab) median(r row, server string) sample {
	all := slices.Clone(l.samples[server][r])
	if len(all) == 0 {
		return sample{}
	}
	slices.SortFunc(all, func(a, b sample) int {
		switch {
		case a.IOPS < b.IOPS:
			return -1
		case a.IOPS > b.IOPS:
			return 1
		}
		return 0
	})
	return all[len(all)/2]
}

// ratio is that of the medians of IOPS, to tgtd, or to the same kind of server of the other
// program.
func (l *lab) ratio(r row, server string) (float64, bool) {
	if l.o.against != "" {
		p, ok := l.paired(r, server, func(s sample) float64 { return s.IOPS })
		return p.median, ok
	}
	mine, peer := l.median(r, server).IOPS, l.median(r, "tgtd").IOPS
	if server == "tgtd" || mine == 0 || peer == 0 {
		return 0, false
	}
	return mine / peer, true
}

// beside is the path of a file beside this one.
func beside(name string) string { return filepath.Join(daemon.Root(), "test", "bench", name) }

func runQuiet(name string, args ...string) error {
	_, err := daemon.Run(time.Minute, name, args...)
	return err
}

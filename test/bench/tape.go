package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// Streams of a tape.
const (
	tapeBlock  = 256 << 10
	tapeDrives = 8
	tapeDepth  = 8

	// Targets.
	leastOfDisk    = 0.8 // of the file disk on the same file system, uncompressed
	leastOfTgtd    = 3   // times tgtd's tape
	mostLocate     = 5 * time.Millisecond
	locateBlocks   = 1_000_000
	locateSize     = 512
	locateRequests = 2000
)

// tapeRow is one kind of work on the tape.
type tapeRow struct {
	write    bool
	compress bool // the drive compresses
	half     bool // and the data is half zeros
	drives   int
}

func (r tapeRow) String() string {
	s := "read"
	if r.write {
		s = "write"
	}
	if r.half {
		s += " 2:1"
	} else {
		s += " random"
	}
	if r.compress {
		s += ", compressed"
	}
	if r.drives > 1 {
		s += fmt.Sprintf(", %d drives", r.drives)
	}
	return s
}

// Reads follow the write of what they read.
var tapeRows = []tapeRow{
	{write: true, drives: 1}, {drives: 1},
	{write: true, compress: true, drives: 1}, {compress: true, drives: 1},
	{write: true, compress: true, half: true, drives: 1}, {compress: true, half: true, drives: 1},
	{write: true, drives: tapeDrives}, {drives: tapeDrives},
}

// tapeSample is what iload says, in other units.
type tapeSample struct {
	MBps     float64 `json:"mb_per_s"`
	ServerUS float64 `json:"server_us_per_io"`
	Errors   int     `json:"errors"`
}

// cpu is the server's seconds of CPU for 10^9 bytes.
func (s tapeSample) cpu() float64 { return s.ServerUS / 1e6 * 1e9 / tapeBlock }

// tapeLab is targate's library and disk, and tgtd's tape.
type tapeLab struct {
	o       options
	iload   string
	targate *daemon.Targate
	tgtd    *daemon.Tgtd
	mib     int // of one stream
	samples map[string][]tapeSample
}

const (
	tapeIQN     = "iqn.2026-11.org.targate:bench.tape"
	tapeDiskIQN = "iqn.2026-11.org.targate:bench.disk"
)

func runTape(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("/dev/shm", "targate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // nothing to be done
	l := &tapeLab{o: o, mib: 512, samples: map[string][]tapeSample{}}
	if o.smoke {
		l.mib = 32
	}
	defer func() {
		if l.targate != nil {
			err = errors.Join(err, l.targate.Stop())
		}
		if l.tgtd != nil {
			err = errors.Join(err, l.tgtd.Stop())
		}
	}()
	if err = l.start(ctx, dir); err == nil {
		err = l.measure(ctx)
	}
	return err
}

func (l *tapeLab) start(ctx context.Context, dir string) (err error) {
	if l.iload, err = compile(dir, "iload"); err != nil {
		return err
	}
	models := strings.TrimSuffix(strings.Repeat("ibm-ult3580-td8, ", tapeDrives), ", ")
	l.targate, err = daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: fmt.Sprintf(`
devices:
  - {name: disk, handler: file, path: ./disk.img, size: 1GiB}
libraries:
  - name: lib0
    model: ibm-3573-tl
    path: ./tapes
    drives: [%s]
    slots: 24
    cartridges: ["TG0001L8-TG0020L8"]
targets:
  - {iqn: %q, library: lib0}
  - {iqn: %q, luns: {0: disk}}
`, models, tapeIQN, tapeDiskIQN)})
	if err != nil {
		return err
	}
	tgtdDir := filepath.Join(dir, "tgtd")
	if err = os.Mkdir(tgtdDir, 0o755); err != nil {
		return err
	}
	l.tgtd, err = daemon.StartTgtd(daemon.TgtdOptions{Dir: tgtdDir,
		Library: &daemon.TgtdLibrary{Drives: 1, Slots: 2, Barcodes: []string{"TG0001L8"}, MiB: 2*l.mib + 64}})
	if err != nil {
		return err
	}
	for drive := range tapeDrives {
		if err := l.load(ctx, 0x1000+drive, 0x100+drive); err != nil {
			return err
		}
	}
	s, err := l.dial(ctx, l.tgtd.Portal, daemon.TgtdTarget)
	if err != nil {
		return err
	}
	defer s.Close()
	return command(ctx, s, 2, nil, 0xa5, 0, 0, 16, 1024>>8, 0, 0, 1, 0, 0, 0, 0)
}

func (l *tapeLab) dial(ctx context.Context, portal, target string) (*initiator.Session, error) {
	return initiator.Dial(ctx, initiator.Options{Addr: portal, TargetName: target, InitiatorName: "iqn.2026-11.org.targate:bench.tape"})
}

// command sends a CDB, again while unit attentions or a load stand in its way.
func command(ctx context.Context, s *initiator.Session, lun uint16, out []byte, cdb ...byte) error {
	for {
		r, err := s.Do(ctx, &initiator.Command{LUN: lun, CDB: cdb, Out: out})
		if err != nil {
			return err
		}
		if r.Key() == 6 || r.Key() == 2 && r.Code() == 0x0401 {
			continue
		}
		if err := r.Err(); err != nil {
			return fmt.Errorf("CDB %x: %w", cdb, err)
		}
		return nil
	}
}

// load moves a cartridge into a drive of targate and waits until it is ready.
func (l *tapeLab) load(ctx context.Context, slot, drive int) error {
	s, err := l.dial(ctx, l.targate.Portal, tapeIQN)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := command(ctx, s, 0, nil, 0xa5, 0, 0, 0, byte(slot>>8), byte(slot), byte(drive>>8), byte(drive), 0, 0, 0, 0); err != nil {
		return err
	}
	return command(ctx, s, uint16(drive-0x100+1), nil, 0, 0, 0, 0, 0, 0)
}

// compression sets DCE of page 0Fh of a drive.
func (l *tapeLab) compression(ctx context.Context, lun uint16, on bool) error {
	s, err := l.dial(ctx, l.targate.Portal, tapeIQN)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := command(ctx, s, lun, nil, 0, 0, 0, 0, 0, 0); err != nil {
		return err
	}
	r, err := s.Do(ctx, &initiator.Command{LUN: lun, CDB: []byte{0x5a, 0, 0x0f, 0, 0, 0, 0, 0, 64, 0}, In: 64})
	if err != nil {
		return err
	}
	if r.Err() != nil || len(r.Data) < 32 {
		return fmt.Errorf("MODE SENSE(10): %d bytes, %w", len(r.Data), r.Err())
	}
	b := r.Data
	b[0], b[1], b[2] = 0, 0, 0
	b[16] &= 0x3f
	b[18] &^= 0x80
	if on {
		b[18] |= 0x80
	}
	return command(ctx, s, lun, b, 0x55, 0x10, 0, 0, 0, 0, 0, 0, byte(len(b)), 0)
}

// stream runs iload.
func (l *tapeLab) stream(ctx context.Context, portal, target string, lun, pid int, work string, r tapeRow) (tapeSample, error) {
	host, port, err := net.SplitHostPort(portal)
	if err != nil {
		return tapeSample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	n := l.mib << 20 / tapeBlock
	if r.drives > 1 {
		n /= 4
	}
	args := []string{"-H", host, "-p", port, "-t", target, "-l", fmt.Sprint(lun), "-o", work, "-b", fmt.Sprint(tapeBlock),
		"-q", fmt.Sprint(tapeDepth), "-n", fmt.Sprint(n), "-c", fmt.Sprint(r.drives), "-R", "1024", "-S", "-L", "-P", fmt.Sprint(pid)}
	if r.half {
		args = append(args, "-2")
	}
	var s tapeSample
	out, err := exec.CommandContext(ctx, l.iload, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s%s", err, out, exit.Stderr)
		}
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

// measure takes rounds that alternate between the servers: each takes all of a row before the next
// row, so that a read finds what its write has left.
func (l *tapeLab) measure(ctx context.Context) error {
	if l.o.smoke {
		l.o.rounds = 1
	} else {
		l.o.rounds = min(l.o.rounds, 3)
	}
	for i := 0; i < len(tapeRows); i += 2 {
		for round := range l.o.rounds {
			servers := []string{"tape", "disk", "tgtd"}
			for k := range servers {
				server := servers[(k+round)%len(servers)]
				for _, r := range tapeRows[i : i+2] {
					s, ok, err := l.one(ctx, server, r)
					if err != nil {
						return fmt.Errorf("%s, %s: %w", server, r, err)
					}
					if ok {
						l.samples[server+" "+r.String()] = append(l.samples[server+" "+r.String()], s)
					}
				}
			}
		}
	}
	locate, err := l.locate(ctx)
	if err != nil {
		return fmt.Errorf("LOCATE: %w", err)
	}
	return l.report(locate)
}

// one measures a row; ok is false where a server has no such work.
func (l *tapeLab) one(ctx context.Context, server string, r tapeRow) (s tapeSample, ok bool, err error) {
	work := "read"
	if r.write {
		work = "write"
	}
	switch server {
	case "tape":
		for lun := range r.drives {
			if r.write {
				if err = l.compression(ctx, uint16(lun+1), r.compress); err != nil {
					return s, false, err
				}
			}
		}
		s, err = l.stream(ctx, l.targate.Portal, tapeIQN, 1, l.targate.PID, "tape-"+work, r)
	case "disk":
		if r.compress || r.drives > 1 {
			return s, false, nil
		}
		s, err = l.stream(ctx, l.targate.Portal, tapeDiskIQN, 0, l.targate.PID, work, r)
	case "tgtd":
		if r.drives > 1 {
			return s, false, nil
		}
		s, err = l.stream(ctx, l.tgtd.Portal, daemon.TgtdTarget, 1, l.tgtd.PID, "tape-"+work, r)
	}
	if err == nil && s.Errors > 0 {
		err = fmt.Errorf("%d commands failed", s.Errors)
	}
	return s, true, err
}

// locate measures LOCATE(10) to random blocks of a tape with many: the times in order.
func (l *tapeLab) locate(ctx context.Context) ([]time.Duration, error) {
	blocks := locateBlocks
	if l.o.smoke {
		blocks /= 50
	}
	host, port, err := net.SplitHostPort(l.targate.Portal)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, l.iload, "-H", host, "-p", port, "-t", tapeIQN, "-l", "1", "-o", "tape-write",
		"-b", fmt.Sprint(locateSize), "-q", "64", "-n", fmt.Sprint(blocks)).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	s, err := l.dial(ctx, l.targate.Portal, tapeIQN)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := command(ctx, s, 1, nil, 0, 0, 0, 0, 0, 0); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	var times []time.Duration
	for range locateRequests {
		n := uint32(random.IntN(blocks))
		cdb := []byte{0x2b, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(cdb[3:], n)
		begin := time.Now()
		if err := command(ctx, s, 1, nil, cdb...); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
		// The block has to be there, too.
		r, err := s.Do(ctx, &initiator.Command{LUN: 1, CDB: []byte{0x08, 0, 0, locateSize >> 8, locateSize & 0xff, 0}, In: locateSize})
		if err != nil {
			return nil, err
		}
		if r.Err() != nil {
			return nil, fmt.Errorf("block %d: %w", n, r.Err())
		}
	}
	slices.Sort(times)
	return times, nil
}

// median is that by MB/s.
func (l *tapeLab) median(server string, r tapeRow) (tapeSample, bool) {
	all := slices.Clone(l.samples[server+" "+r.String()])
	if len(all) == 0 {
		return tapeSample{}, false
	}
	slices.SortFunc(all, func(a, b tapeSample) int { return int(a.MBps - b.MBps) })
	return all[len(all)/2], true
}

func (l *tapeLab) report(locate []time.Duration) error {
	fmt.Printf("medians of %d rounds of %d MiB in blocks of %d KiB, queue depth %d: MB/s, server seconds of CPU per GB, ratio of MB/s to it\n",
		l.o.rounds, l.mib, tapeBlock>>10, tapeDepth)
	fmt.Printf("%-30s | %-16s | %-24s | %s\n%s\n", "work", "tape", "file disk", "tgtd's tape", strings.Repeat("-", 100))
	for _, r := range tapeRows {
		mine, _ := l.median("tape", r)
		fmt.Printf("%-30s | %8.0f %7.2f", r, mine.MBps, mine.cpu())
		for _, server := range []string{"disk", "tgtd"} {
			if s, ok := l.median(server, r); ok {
				fmt.Printf(" | %8.0f %7.2f %6.2fx", s.MBps, s.cpu(), mine.MBps/s.MBps)
			} else {
				fmt.Printf(" | %24s", "")
			}
		}
		fmt.Println()
	}
	p50, p99, worst := locate[len(locate)/2], locate[len(locate)*99/100], locate[len(locate)-1]
	fmt.Printf("LOCATE to a random block: median %v, 99%% %v, worst %v\n\n", p50.Round(time.Microsecond), p99.Round(time.Microsecond), worst.Round(time.Microsecond))
	if l.o.smoke {
		fmt.Printf("bench-tape: %d kinds of work measured, no verdict on speed\n", len(tapeRows)+1)
		return nil
	}
	met, all := 0, 0
	verdict := func(ok bool, format string, args ...any) {
		word := "MISS"
		all++
		if ok {
			word = "PASS"
			met++
		}
		fmt.Printf("%s  %s\n", word, fmt.Sprintf(format, args...))
	}
	for _, r := range tapeRows {
		mine, _ := l.median("tape", r)
		if s, ok := l.median("disk", r); ok {
			verdict(mine.MBps >= leastOfDisk*s.MBps, "%-30s %5.2f of the file disk, target %.1f", r, mine.MBps/s.MBps, leastOfDisk)
		}
		if s, ok := l.median("tgtd", r); ok {
			verdict(mine.MBps >= leastOfTgtd*s.MBps, "%-30s %5.2fx tgtd's tape, target %dx", r, mine.MBps/s.MBps, leastOfTgtd)
		}
	}
	verdict(p99 < mostLocate, "%-30s %v for 99%% of %d, target %v", "LOCATE among 1,000,000 blocks", p99.Round(time.Microsecond), len(locate), mostLocate)
	fmt.Printf("bench-tape: %d of %d targets met\n", met, all)
	if met < all {
		return fmt.Errorf("%d targets missed", all-met)
	}
	return nil
}

package library_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/core/block/blocktest"
	. "github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/library/librarytest"
)

var kills = flag.Int("kills", 15, "how often a library is killed")

// crashDir names the directory of the library that this process is to use until it is killed.
const crashDir = "TARGATE_TEST_LIBRARY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		seed, _ := strconv.ParseUint(os.Getenv(crashDir+"_SEED"), 10, 64)
		useUntilKilled(dir, seed)
	}
	os.Exit(m.Run())
}

func crashConfig(dir string) Config {
	c := librarytest.Config(dir, 2)
	c.Mailslots = 3
	c.Cartridges = nil
	return c
}

// useUntilKilled does random things, and writes each to the standard output before and after.
func useUntilKilled(dir string, seed uint64) {
	l, err := Open(crashConfig(dir))
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	m := modelOf(l)
	for {
		o := m.choose(rnd)
		b, _ := json.Marshal(o)
		fmt.Printf("begin %s\n", b)
		want := o.want(m)
		if err := o.run(l); (err == nil) != (want == nil) {
			fmt.Printf("%+v: %v, want %v\n", o, err, want)
			os.Exit(1)
		}
		fmt.Println("end")
	}
}

// A process that uses a library is killed at random instants: what had been acknowledged is there, what
// was under way is done or is not, and each cartridge is in one place, with its contents.
func TestKill(t *testing.T) {
	rnd := blocktest.Rand(t)
	dir := t.TempDir()
	cfg := crashConfig(dir)
	cfg.Cartridges = []Cartridges{{Barcodes: "TG0001L8-TG0008L8"}}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := modelOf(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	operations := 0
	for i := range *kills {
		before, after, n := killOnce(t, dir, m, rnd)
		operations += n
		r := &rig{t: t, cfg: crashConfig(dir)}
		r.open()
		a, b := before.differs(r.Library), after.differs(r.Library)
		if a != "" && b != "" {
			t.Fatalf("kill %d: neither before (%s) nor after (%s) what was under way", i, a, b)
		}
		stored, err := r.cfg.Pool.List()
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); len(stored) != s.Cartridges || s.Missing != 0 {
			t.Fatalf("kill %d: %d cartridges are stored; %+v", i, len(stored), s)
		}
		m = modelOf(r.Library)
		if err := r.Library.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if operations == 0 {
		t.Error("nothing was done")
	}
	t.Logf("%d operations, %d kills", operations, *kills)
}

// killOnce has another process use the library of dir, of which m is true, and kills it. It returns what
// was true before and after what was under way then, and how many operations had ended.
func killOnce(t *testing.T, dir string, m *model, rnd *rand.Rand) (before, after *model, n int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s_SEED=%d", crashDir, rnd.Uint32()))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %q", err, first)
	}
	// The instant does not matter to the outcome, so it may be one of the clock.
	kill := time.AfterFunc(time.Duration(rnd.IntN(40_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	before = m
	for line := first; ; {
		o, begins := strings.CutPrefix(line, "begin ")
		switch {
		case begins:
			var op operation
			if err := json.Unmarshal([]byte(o), &op); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			after = before.clone()
			_ = op.want(after)
		case line == "end\n":
			before = after
			n++
		default:
			t.Fatalf("the library that was to be killed: %s", line)
		}
		if line, err = lines.ReadString('\n'); err != nil { // a torn line is what was not told
			break
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	return before, after, n
}

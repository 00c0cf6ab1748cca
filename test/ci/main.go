// Command ci runs everything that must pass before a change is merged, one step
// after the other, to the end even when a step fails, and closes with the line
// "N passed, M failed". A Go test counts as one, as does a step of another kind.
//
//	ci [-list] [step...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// step is one line of the list. run counts what it ran.
type step struct {
	name  string
	limit time.Duration
	run   func(ctx context.Context) (passed, failed int)
}

// The steps, cheap ones first. Their limits are far above what they take on two
// slow cores; together they must stay below the 90 minutes of CI.
//
// Tests of the whole program have -count=1: go test does not see that the program changed,
// and would take their results from the cache.
var steps = []step{
	{"format", time.Minute, nothingFrom("gofmt", "-l", ".")},
	{"vet", 5 * time.Minute, commands(
		[]string{"go", "vet", "./..."},
		[]string{"go", "vet", "-tags", "system vm invariants", "./..."})},
	{"staticcheck", 5 * time.Minute, commands(
		[]string{"go", "tool", "-modfile=tools/go.mod", "staticcheck", "-tags", "system vm", "./..."})},
	{"modules tidy", time.Minute, commands([]string{"go", "mod", "tidy", "-diff"})},
	{"generated files fresh", 3 * time.Minute, generated},
	{"unit tests, race detector", 12 * time.Minute, goTest("-race", "./...")},
	{"unit tests, invariants", 10 * time.Minute, goTest("-tags", "invariants", "./core/...", "./gateway/...", "./handlers/...", "./vtl/...")},
	{"allocations", 5 * time.Minute, commands([]string{"make", "bench-allocs"})},
	{"build", 5 * time.Minute, commands([]string{"make", "build", "vm-image"})},
	{"real clients", 15 * time.Minute, goTest("-count=1", "-tags", "system", "-timeout", "14m", "./test/conformance/...", "./test/initiator/...")},
	{"SAM over the wire, race detector and invariants", 8 * time.Minute, built("race invariants", "-timeout", "7m", "./test/sam")},
	{"tape library over the wire, race detector and invariants", 8 * time.Minute, built("race invariants", "-timeout", "7m", "./test/tape")},
	{"soak, short", 5 * time.Minute, built("invariants", "-timeout", "4m", "./test/soak", "-args", "-duration", "60s")},
	{"abuse", 8 * time.Minute, goTest("-count=1", "-tags", "system", "-timeout", "7m", "./test/abuse/...")},
	{"crash, short", 5 * time.Minute, goTest("-count=1", "-tags", "system", "-timeout", "4m", "./test/crash")},
	{"Linux initiator", 10 * time.Minute, goTest("-count=1", "-tags", "vm", "-timeout", "9m", "./test/vm/disk", "./test/vm/multipath")},
	{"tape programs on Linux", 12 * time.Minute, goTest("-count=1", "-tags", "vm", "-timeout", "11m", "./test/vm/tape")},
	{"fuzz", 20 * time.Minute, commands([]string{"make", "fuzz", "FUZZTIME=6s"})},
	{"bench smoke", 3 * time.Minute, commands([]string{"make", "bench", "BENCH=-smoke"}, []string{"make", "bench-tape", "BENCH=-smoke"})},
}

func main() {
	list := flag.Bool("list", false, "print the names of the steps")
	flag.Parse()
	if *list {
		for _, s := range steps {
			fmt.Println(s.name)
		}
		return
	}
	chosen := steps
	if flag.NArg() > 0 {
		chosen = slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !slices.Contains(flag.Args(), s.name) })
		if len(chosen) != flag.NArg() {
			fmt.Fprintln(os.Stderr, "ci: no such step; see -list")
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	begin := time.Now()
	var passed, failed int
	var summary strings.Builder
	for _, s := range chosen {
		fmt.Printf("\n=== %s\n", s.name)
		start := time.Now()
		limited, cancel := context.WithTimeout(ctx, s.limit)
		p, f := s.run(limited)
		if err := limited.Err(); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				fmt.Printf("%s: no end within %v\n", s.name, s.limit)
			}
			f = max(f, 1)
		}
		cancel()
		passed, failed = passed+p, failed+f
		word := "ok"
		if f > 0 {
			word = "FAIL"
		}
		fmt.Fprintf(&summary, "%-4s  %6.1fs  %5d passed %3d failed  %s\n", word, time.Since(start).Seconds(), p, f, s.name)
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Printf("\n%s%.0f s in all\n%d passed, %d failed\n", summary.String(), time.Since(begin).Seconds(), passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// built runs system tests against a targate that is made with BUILD (see the Makefile).
func built(build string, args ...string) func(context.Context) (int, int) {
	return func(ctx context.Context) (int, int) {
		if passed, failed := commands([]string{"make", "build", "BUILD=" + build})(ctx); failed > 0 {
			return passed, failed
		}
		bin := "bin/targate-" + strings.ReplaceAll(build, " ", "-")
		path, err := filepath.Abs(bin)
		if err == nil {
			err = os.Setenv("TARGATE", path)
		}
		if err != nil {
			fmt.Println(err)
			return 0, 1
		}
		defer os.Unsetenv("TARGATE")
		return goTest(append([]string{"-count=1", "-tags", "system"}, args...)...)(ctx)
	}
}

// command prepares a child that is ended, with all that it started, when ctx ends.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// commands runs each of list; one that fails is one failure.
func commands(list ...[]string) func(context.Context) (int, int) {
	return func(ctx context.Context) (passed, failed int) {
		for _, args := range list {
			if err := command(ctx, args...).Run(); err != nil {
				fmt.Printf("%s: %v\n", strings.Join(args, " "), err)
				failed++
			} else {
				passed++
			}
		}
		return passed, failed
	}
}

// nothingFrom fails when the command prints anything.
func nothingFrom(args ...string) func(context.Context) (int, int) {
	return func(ctx context.Context) (int, int) {
		cmd := command(ctx, args...)
		cmd.Stdout = nil
		out, err := cmd.Output()
		if err != nil || len(out) > 0 {
			fmt.Printf("%s: %v\n%s", strings.Join(args, " "), err, out)
			return 0, 1
		}
		return 1, 0
	}
}

// generated runs the generators and fails when they change a file. It compares
// before with after, so that it also works in a tree with changes of one's own.
func generated(ctx context.Context) (int, int) {
	state := func() (string, error) {
		cmd := command(ctx, "sh", "-c", "git diff; git status --porcelain")
		cmd.Stdout = nil
		out, err := cmd.Output()
		return string(out), err
	}
	before, err := state()
	if err == nil {
		err = command(ctx, "go", "generate", "./...").Run()
	}
	after, err2 := state()
	if err = errors.Join(err, err2); err != nil {
		fmt.Println("go generate:", err)
		return 0, 1
	}
	if before != after {
		fmt.Println("generated files are not fresh; commit what `go generate ./...` changes:")
		command(ctx, "git", "status", "--short").Run()
		return 0, 1
	}
	return 1, 0
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is a line of `go test -json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// goTest runs `go test -json` with args and prints one line for each package, and
// the whole output of what failed.
func goTest(args ...string) func(context.Context) (int, int) {
	return func(ctx context.Context) (int, int) {
		cmd := command(ctx, append([]string{"go", "test", "-json"}, args...)...)
		cmd.Stdout = nil
		pipe, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			fmt.Println("go test:", err)
			return 0, 1
		}
		c := counter{output: map[string]*strings.Builder{}}
		c.read(pipe)
		if err := cmd.Wait(); err != nil && c.failed == 0 {
			fmt.Println("go test:", err)
			c.failed = 1
		}
		return c.passed, c.failed
	}
}

type counter struct {
	passed, failed int
	output         map[string]*strings.Builder // by package and test
}

func (c *counter) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // not of a test: a build that fails, say
			continue
		}
		c.take(e)
	}
	if err := lines.Err(); err != nil {
		fmt.Println("go test:", err)
		c.failed++
	}
}

func (c *counter) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if c.output[key] == nil {
			c.output[key] = new(strings.Builder)
		}
		c.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		took := time.Duration(e.Elapsed * float64(time.Second)).Round(time.Millisecond)
		switch {
		case e.Test != "" && e.Action == "pass":
			c.passed++
		case e.Test != "" && e.Action == "fail":
			c.failed++
			fmt.Printf("--- FAIL %s %s (%v)\n%s", e.Package, e.Test, took, c.text(key))
		case e.Test != "" && e.Action == "skip":
			fmt.Printf("--- SKIP %s %s\n%s", e.Package, e.Test, c.text(key))
		case e.Action == "fail":
			// A package can fail without a test: it does not build, or it panics.
			fmt.Printf("FAIL %s (%v)\n%s", e.Package, took, c.text(key))
			if !strings.Contains(c.text(key), "FAIL\t") || c.failed == 0 {
				c.failed++
			}
		case e.Action == "pass":
			fmt.Printf("ok   %s (%v)\n", e.Package, took)
		}
		delete(c.output, key)
	case "build-fail":
		fmt.Print(c.text(key))
	}
}

// maxLines is how much of a failed test's output is shown.
const maxLines = 60

// text gives the output of a test, without its middle when it is long.
func (c *counter) text(key string) string {
	b := c.output[key]
	if b == nil {
		return ""
	}
	lines := strings.SplitAfter(b.String(), "\n")
	if cut := len(lines) - maxLines; cut > 0 {
		lines = slices.Concat(lines[:maxLines/2], []string{fmt.Sprintf("... %d lines\n", cut)}, lines[len(lines)-maxLines/2:])
	}
	return strings.Join(lines, "")
}

package filter

import (
	"fmt"
	"os"
	"sync"
)

// parseTrace makes a rule that appends to a file, which may be a FIFO, a line when a call
// begins and one when it ends:
//
//	begin write 100 8
//	end write 100 8 ok
//
// with the first block and the number of blocks, and "ok" or "failed".
func parseTrace(r *Rule, v map[string]string) error {
	path := v["to"]
	if err := absolute("to", path); err != nil {
		return err
	}
	r.make = func() (action, func() error, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, err
		}
		var mu sync.Mutex // lines are whole and in order
		line := func(format string, args ...any) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := fmt.Fprintf(f, format, args...)
			return err
		}
		return func(c call, rest func() error) error {
			if err := line("begin %s %d %d\n", c.op, c.lba, c.blocks); err != nil {
				return err
			}
			err := rest()
			outcome := "ok"
			if err != nil {
				outcome = "failed"
			}
			if lost := line("end %s %d %d %s\n", c.op, c.lba, c.blocks, outcome); err == nil {
				err = lost
			}
			return err
		}, f.Close, nil
	}
	return nil
}

package filter

import (
	"fmt"
	"time"
)

// holdPoll is how often a held call looks whether its file is still there.
const holdPoll = 2 * time.Millisecond

// parseHold makes a rule that keeps a call for as long as a file exists. A held call
// cannot be cancelled, like one to a disk that hangs.
func parseHold(r *Rule, v map[string]string) error {
	path := v["while"]
	r.make = plain(func(_ call, rest func() error) error {
		for exists(path) {
			time.Sleep(holdPoll)
		}
		return rest()
	})
	return nil
}

// parseDelay makes a rule that waits before each call.
func parseDelay(r *Rule, v map[string]string) error {
	d, err := time.ParseDuration(v["time"])
	if err != nil || d <= 0 {
		return fmt.Errorf("time is a duration as in 5ms, not %q", v["time"])
	}
	r.make = plain(func(_ call, rest func() error) error {
		time.Sleep(d)
		return rest()
	})
	return nil
}

// plain is the make of an action without anything to open.
func plain(a action) func() (action, func() error, error) {
	return func() (action, func() error, error) { return a, nil, nil }
}

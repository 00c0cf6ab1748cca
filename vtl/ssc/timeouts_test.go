package ssc

import "testing"

// The timeouts of a model are those of commands that it has.
func TestTimeouts(t *testing.T) {
	for _, m := range models.Drives() {
		seconds := map[string]uint32{}
		for _, r := range driveOf(t, m.Name).Profile().Rows {
			seconds[r.Name] = r.Timeout
			if r.Timeout == 0 {
				t.Errorf("%s: %s has no timeout", m.Name, r.Name)
			}
		}
		for name, want := range m.Timeouts {
			if got := seconds[name]; got != want {
				t.Errorf("%s: %s has %d s, want %d", m.Name, name, got, want)
			}
		}
	}
}

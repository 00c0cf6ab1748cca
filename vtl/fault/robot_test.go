package fault

import (
	"errors"
	"testing"

	"github.com/targate/targate/core/sense"
)

// Rules act on the robot when they name its operations, and only then.
func TestRobot(t *testing.T) {
	in := NewInjector(Options{})
	s, err := Parse("fail class=hardware; fail class=stuck op=move tape=TG* nth=2; fail class=position op=scan; fail class=stuck op=move drive=3")
	if err != nil {
		t.Fatal(err)
	}
	in.Set(s)
	for i, c := range []struct {
		op    Op
		drive int
		tape  string
		want  error
	}{
		{OpMove, 1, "TG0001L8", nil},
		{OpMove, 0, "CLN001L8", nil},
		{OpMove, 0, "TG0002L8", sense.New(sense.HardwareError, 0x1501)},
		{OpMove, 0, "TG0003L8", nil},
		{OpScan, 0, "", sense.New(sense.HardwareError, 0x3b16)},
		{OpMove, 3, "CLN001L8", sense.New(sense.HardwareError, 0x1501)},
	} {
		if err := in.Robot(t.Context(), c.op, c.drive, c.tape); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%d: %v, want %v", i, err, c.want)
		}
	}
}

package library

import (
	"errors"
	"testing"

	"github.com/targate/targate/vtl/personality"
)

func TestElementsOverlap(t *testing.T) {
	cfg := Config{Model: &personality.Changer{Name: "test", Slot: 0x20, Drive: 0x1e0, Mailslot: 0x1c0, Picker: 1, Pickers: 1}}
	for _, c := range []struct {
		slots, mailslots, drives int
		want                     error
	}{
		{416, 32, 64, nil},
		{417, 32, 1, ErrGeometry},
		{417, 0, 0, nil},
		{1, 33, 1, ErrGeometry},
		{1, 1, 70000, ErrGeometry},
		{-1, 0, 0, ErrGeometry},
	} {
		if err := checkGeometry(&cfg, c.slots, c.mailslots, c.drives); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c, err, c.want)
		}
	}
}

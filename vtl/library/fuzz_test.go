package library_test

import (
	"slices"
	"testing"

	. "github.com/targate/targate/vtl/library"
)

// A range that is taken has no barcode twice, and each is a range of one.
func FuzzBarcodes(f *testing.F) {
	for _, s := range []string{"TG0001L8", "TG0001L8-TG0010L8", "CLN001L8-CLN009L8", "A9L8-A10L8", "A-B", "1-65536",
		"99999999999999999999L8-99999999999999999999L8", "L8-L9", "0-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := Barcodes(s)
		if err != nil {
			return
		}
		if len(list) == 0 || len(list) > 1<<16 || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Fatalf("%q is %d barcodes", s, len(list))
		}
		for _, b := range []string{list[0], list[len(list)-1]} {
			if one, err := Barcodes(b); err != nil || len(one) != 1 || one[0] != b {
				t.Errorf("%q of %q: %v, %v", b, s, one, err)
			}
		}
	})
}

// A place that is read is written as it was.
func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"slot:1", "vault", "drive:64", "mailslot:0", "slot:65536", "slot:+1", ":", "vault:1", "slot:01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlace(s)
		if err != nil {
			return
		}
		if q, err := ParsePlace(p.String()); err != nil || q != p {
			t.Errorf("%q is %v, and that is %v, %v", s, p, q, err)
		}
	})
}

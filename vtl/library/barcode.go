package library

import (
	"fmt"
	"strconv"
	"strings"
)

// maxBarcode is the longest volume identifier of a primary volume tag (SMC-3, 6.15.2).
const maxBarcode = 32

// maxRange is the most cartridges of one range: element addresses have 16 bits.
const maxRange = 1 << 16

// checkBarcode refuses what is no barcode: it must also be a good name of a file.
func checkBarcode(s string) error {
	if s == "" || len(s) > maxBarcode {
		return fmt.Errorf("%w: barcode %q has not 1 to %d characters", ErrBarcode, s, maxBarcode)
	}
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_+$%", rune(c)) {
			return fmt.Errorf("%w: barcode %q has other characters than A-Z, 0-9 and _+$%%", ErrBarcode, s)
		}
	}
	return nil
}

// Barcodes are the barcodes of a range "TG0001L8-TG0010L8", which differ in the digits before
// the media identifier, or the one that s is. The error is an ErrInvalid.
func Barcodes(s string) ([]string, error) {
	first, last, isRange := strings.Cut(s, "-")
	if err := checkBarcode(first); err != nil {
		return nil, err
	}
	if !isRange {
		return []string{first}, nil
	}
	if err := checkBarcode(last); err != nil {
		return nil, err
	}
	head, digits, tail := cutNumber(first)
	lastHead, lastDigits, lastTail := cutNumber(last)
	if head != lastHead || tail != lastTail || len(digits) != len(lastDigits) || digits == "" {
		return nil, fmt.Errorf("%w: the ends of range %s differ in more than a number", ErrInvalid, s)
	}
	from, err1 := strconv.ParseUint(digits, 10, 63)
	to, err2 := strconv.ParseUint(lastDigits, 10, 63)
	switch {
	case err1 != nil || err2 != nil:
		return nil, fmt.Errorf("%w: the numbers of range %s are too large", ErrInvalid, s)
	case to < from:
		return nil, fmt.Errorf("%w: range %s ends before it begins", ErrInvalid, s)
	case to-from >= maxRange:
		return nil, fmt.Errorf("%w: range %s has more than %d barcodes", ErrInvalid, s, maxRange)
	}
	list := make([]string, 0, to-from+1)
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprintf("%s%0*d%s", head, len(digits), n, tail))
	}
	return list, nil
}

// cutNumber is s as what is before its number, the number, and the media identifier.
func cutNumber(s string) (head, digits, tail string) {
	cut := len(s)
	if cut > 2 {
		cut -= 2
	}
	head = strings.TrimRight(s[:cut], "0123456789")
	return head, s[len(head):cut], s[cut:]
}

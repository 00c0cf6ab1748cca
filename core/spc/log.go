package spc

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// LogPage is a log page.
type LogPage struct {
	Code, Sub uint8
	// Params gives the log parameters as they are now, in any order.
	Params func(c *core.Command) []LogParam
	// Clear sets the counters of the page to their defaults (LOG SELECT with PCR).
	// nil: the page has none that can be cleared.
	Clear func()
}

// LogParam is a log parameter (SPC-6, 7.3.2.2).
type LogParam struct {
	Code   uint16
	Format LogFormat
	Value  []byte // at most 255 bytes
}

// LogFormat is the FORMAT AND LINKING field of a log parameter.
type LogFormat uint8

// Formats.
const (
	BoundedCounter   LogFormat = 0
	ASCIIList        LogFormat = 1
	UnboundedCounter LogFormat = 2
	BinaryList       LogFormat = 3
)

func (f LogFormat) isList() bool { return f&1 != 0 }

// Bits of a log page header (SPC-6, 7.3.2.1), and the values of PC.
const (
	ds     = 0x80 // byte 0: the page is not saved
	logSPF = 0x40 // byte 0

	logCumulative        = 1
	logDefaultCumulative = 3
)

// setLogs adds the lists of supported pages to the device type's pages.
func (d *Device) setLogs(own []LogPage) error {
	d.logs = append([]LogPage{{Code: 0, Sub: 0}, {Code: 0, Sub: allSubpages}}, own...)
	slices.SortFunc(d.logs, compareLogs)
	for i, p := range d.logs {
		switch {
		case i > 0 && compareLogs(d.logs[i-1], p) == 0:
			return fmt.Errorf("log page %02Xh/%02Xh is declared twice", p.Code, p.Sub)
		case p.Code == 0:
		case p.Code >= allPages || p.Sub == allSubpages || p.Params == nil:
			return fmt.Errorf("log page %02Xh/%02Xh is none", p.Code, p.Sub)
		}
	}
	return nil
}

func compareLogs(a, b LogPage) int {
	return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Sub, b.Sub))
}

// findLog is the log page that bytes 2 and 3 of a CDB name.
func (d *Device) findLog(cdb []byte) (*LogPage, error) {
	want := LogPage{Code: cdb[2] & pageCodeMask, Sub: cdb[3]}
	if i, ok := slices.BinarySearchFunc(d.logs, want, compareLogs); ok {
		return &d.logs[i], nil
	}
	if slices.ContainsFunc(d.logs, func(p LogPage) bool { return p.Code == want.Code }) {
		return nil, sense.FieldBit(3, 7)
	}
	return nil, sense.FieldBit(2, 5)
}

// logSense is LOG SENSE (SPC-6, 6.9).
func (d *Device) logSense(c *core.Command) error {
	page, err := d.findLog(c.CDB)
	if err != nil {
		return err
	}
	b := []byte{page.Code | ds, page.Sub, 0, 0}
	if page.Sub != 0 {
		b[0] |= logSPF
	}
	if page.Code == 0 {
		b[0] &^= ds
		b, err = d.supportedLogs(b, c)
	} else {
		b, err = page.append(b, c)
	}
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return c.Reply(b)
}

// supportedLogs is page 00h: the page codes, or with subpage FFh all pairs
// (SPC-6, 7.3.19 and 7.3.20).
func (d *Device) supportedLogs(b []byte, c *core.Command) ([]byte, error) {
	if binary.BigEndian.Uint16(c.CDB[5:]) != 0 {
		return nil, sense.FieldBit(5, 7) // there are no parameters to point at
	}
	for _, p := range d.logs {
		switch {
		case c.CDB[3] == allSubpages:
			b = append(b, p.Code, p.Sub)
		case p.Sub == 0:
			b = append(b, p.Code)
		}
	}
	return b, nil
}

// append adds the parameters of p from PARAMETER POINTER on. Lists have no
// thresholds, so PC does not matter to them; counters have none here, and their
// default is zero.
func (p *LogPage) append(b []byte, c *core.Command) ([]byte, error) {
	pc, pointer := c.CDB[2]>>6, binary.BigEndian.Uint16(c.CDB[5:])
	params := p.Params(c)
	slices.SortFunc(params, func(x, y LogParam) int { return cmp.Compare(x.Code, y.Code) })
	if pointer != 0 && (len(params) == 0 || pointer > params[len(params)-1].Code) {
		return nil, sense.FieldBit(5, 7)
	}
	for _, q := range params {
		if q.Code < pointer {
			continue
		}
		value := q.Value
		if !q.Format.isList() {
			switch pc {
			case logCumulative:
			case logDefaultCumulative:
				value = make([]byte, len(q.Value))
			default:
				return nil, sense.FieldBit(2, 7)
			}
		}
		b = binary.BigEndian.AppendUint16(b, q.Code)
		b = append(b, byte(q.Format), byte(len(value)))
		b = append(b, value...)
	}
	return b, nil
}

func (d *Device) canClearLogs() bool {
	return slices.ContainsFunc(d.logs, func(p LogPage) bool { return p.Clear != nil })
}

// logSelect is LOG SELECT without a parameter list: PCR clears the counters of a
// page, or of all when the CDB names page 00h (SPC-6, 6.8).
func (d *Device) logSelect(c *core.Command) error {
	const pcr = 0x02
	if c.CDB[1]&pcr == 0 {
		return sense.FieldBit(1, 1) // to set a parameter takes a list, and none can be set
	}
	page, err := d.findLog(c.CDB)
	if err != nil {
		return err
	}
	switch {
	case page.Code == 0 && page.Sub == 0:
		for _, p := range d.logs {
			if p.Clear != nil {
				p.Clear()
			}
		}
	case page.Clear == nil:
		return sense.FieldBit(2, 5)
	default:
		page.Clear()
	}
	d.host.Raise(sense.New(sense.UnitAttention, sense.LogParametersChanged), c.Path)
	return nil
}

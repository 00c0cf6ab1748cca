package smc

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/library"
)

// templateLen is the length of the parameter list of SEND VOLUME TAG (SMC-3, 6.14).
const templateLen = 40

// search is what a SEND VOLUME TAG looks for, until the next one of its I_T nexus.
type search struct {
	action byte
	first  uint16
	types  library.ElementType
	// template is a volume identifier: * stands for any characters, ? for one.
	template string
	// none: no cartridge can match, since only alternate tags are looked at, or sequence numbers other
	// than 0, which ours have.
	none bool
}

// Send action codes (SMC-3, table 40): translations, of all, primary or alternate tags, with the sequence
// numbers or without. The others define tags, which are the labels of cartridges here.
const (
	translateAll       = 0x00
	translatePrimary   = 0x01
	translateAlternate = 0x02
	ignoreSequence     = 0x04
)

// sendVolumeTag is SEND VOLUME TAG (SMC-3, 6.14): it says what the next REQUEST VOLUME ELEMENT ADDRESS
// is to find.
func (ch *Changer) sendVolumeTag(c *core.Command) error {
	s := &search{action: c.CDB[5], first: address(c, 2), types: library.ElementType(c.CDB[1] & typeOf)}
	switch {
	case s.types > library.DataTransfer:
		return sense.FieldBit(1, 3)
	case s.action&^ignoreSequence > translateAlternate:
		return sense.FieldBit(5, 4)
	case c.OutLen != templateLen || len(c.Out) < templateLen:
		return sense.ErrParamLength
	}
	if err := s.parse(c.Out); err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.searches[c.Path.Nexus().ID] = s
	return nil
}

// parse reads the parameter list: a template, and the least and the greatest sequence number.
func (s *search) parse(list []byte) error {
	id := bytes.TrimRight(list[:volumeID], " \x00")
	for i, b := range id {
		if b <= ' ' || b > '~' { // no blanks in a volume identifier
			return sense.Param(i)
		}
	}
	for _, at := range []int{32, 33, 36, 37} {
		if list[at] != 0 {
			return sense.Param(at)
		}
	}
	least, most := binary.BigEndian.Uint16(list[34:]), binary.BigEndian.Uint16(list[38:])
	if most < least && s.action&ignoreSequence == 0 {
		return sense.Param(38)
	}
	s.template = string(id)
	s.none = s.action&^ignoreSequence == translateAlternate || s.action&ignoreSequence == 0 && least > 0
	return nil
}

// finds reports whether the volume tag of e is one that s looks for.
func (s *search) finds(e *library.Element) bool {
	return e.Full && !s.none && e.Address >= s.first && (s.types == library.AnyElement || s.types == e.Type) &&
		matches(s.template, e.Barcode)
}

// matches reports whether s is as the template says.
func matches(template, s string) bool {
	// back is where to go on when what follows the last * does not match: the * takes one more.
	back, taken := -1, 0
	t, i := 0, 0
	for i < len(s) {
		switch {
		case t < len(template) && template[t] == '*':
			back, taken = t, i
			t++
		case t < len(template) && (template[t] == '?' || template[t] == s[i]):
			t++
			i++
		case back >= 0:
			taken++
			t, i = back+1, taken
		default:
			return false
		}
	}
	return strings.Trim(template[t:], "*") == ""
}

// requestVolumeElementAddress is REQUEST VOLUME ELEMENT ADDRESS (SMC-3, 6.12): the elements that the last
// SEND VOLUME TAG of the I_T nexus finds, as they are now.
func (ch *Changer) requestVolumeElementAddress(c *core.Command) error {
	ch.mu.Lock()
	s := ch.searches[c.Path.Nexus().ID]
	ch.mu.Unlock()
	if s == nil {
		return sense.New(sense.IllegalRequest, sense.CommandSequenceError)
	}
	q, err := parseQuery(c)
	if err != nil {
		return err
	}
	q.match = s.finds
	return ch.report(c, q, s.action)
}

package initiator

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Read10 and Write10 make CDBs for n blocks at lba.
func Read10(lba uint32, n uint16) []byte  { return cdb10(0x28, lba, n) }
func Write10(lba uint32, n uint16) []byte { return cdb10(0x2a, lba, n) }

func cdb10(op uint8, lba uint32, n uint16) []byte {
	b := make([]byte, 10)
	b[0] = op
	binary.BigEndian.PutUint32(b[2:], lba)
	binary.BigEndian.PutUint16(b[7:], n)
	return b
}

// Ready repeats TEST UNIT READY until unit attentions are gone.
func (s *Session) Ready(ctx context.Context, lun uint16) error {
	var err error
	for range 8 {
		var r *Result
		if r, err = s.Do(ctx, &Command{LUN: lun, CDB: make([]byte, 6)}); err != nil {
			return err
		}
		if err = r.Err(); err == nil || r.Key() != 6 {
			return err
		}
	}
	return err
}

// Capacity gives the number of blocks and their length by READ CAPACITY(16).
func (s *Session) Capacity(ctx context.Context, lun uint16) (blocks uint64, size uint32, err error) {
	cdb := make([]byte, 16)
	cdb[0], cdb[1], cdb[13] = 0x9e, 0x10, 32
	r, err := s.Do(ctx, &Command{LUN: lun, CDB: cdb, In: 32})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return 0, 0, err
	}
	if len(r.Data) < 12 {
		return 0, 0, fmt.Errorf("initiator: READ CAPACITY(16) gave %d bytes", len(r.Data))
	}
	return binary.BigEndian.Uint64(r.Data) + 1, binary.BigEndian.Uint32(r.Data[8:]), nil
}

// LUNs asks REPORT LUNS for every logical unit, as single-level numbers.
func (s *Session) LUNs(ctx context.Context) ([]uint16, error) {
	cdb := make([]byte, 12)
	cdb[0] = 0xa0
	binary.BigEndian.PutUint32(cdb[6:], 16384)
	r, err := s.Do(ctx, &Command{CDB: cdb, In: 16384})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return nil, err
	}
	if len(r.Data) < 8 {
		return nil, fmt.Errorf("initiator: REPORT LUNS gave %d bytes", len(r.Data))
	}
	var luns []uint16
	for b := range slices.Chunk(r.Data[8:], 8) {
		luns = append(luns, binary.BigEndian.Uint16(b)&0x3fff)
	}
	return luns, nil
}

// Portal is a target with one address of it, as SendTargets names them.
type Portal struct{ Target, Address string }

// Discover opens a discovery session and asks for SendTargets=All.
func Discover(ctx context.Context, o Options) ([]Portal, error) {
	o.TargetName = ""
	s, err := Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	defer s.Close() // the answer is here
	r, err := s.Text(ctx, []Key{{"SendTargets", "All"}})
	if err != nil {
		return nil, err
	}
	var all []Portal
	var target string
	for pair := range strings.SplitSeq(string(r.Data), "\x00") {
		switch k, v, _ := strings.Cut(pair, "="); k {
		case "TargetName":
			target = v
		case "TargetAddress":
			all = append(all, Portal{target, v})
		}
	}
	return all, s.Logout(ctx)
}

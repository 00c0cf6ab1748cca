package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
)

const opVariable = 0x7f

// protectBits is the RDPROTECT, WRPROTECT, VRPROTECT or ORPROTECT field.
const protectBits = 0xe0

// fmtpinfo is that field of FORMAT UNIT.
const fmtpinfo = 0xc0

// protected are the commands that a disk with protection information carries out in
// another way, by opcode. All but the 6-byte ones have a PROTECT field in byte 1.
var protected = map[uint8]func(*Disk, *core.Command) error{
	0x08: (*Disk).protectedRead, 0x28: (*Disk).protectedRead, 0xa8: (*Disk).protectedRead, 0x88: (*Disk).protectedRead,
	0x0a: (*Disk).protectedWrite, 0x2a: (*Disk).protectedWrite, 0xaa: (*Disk).protectedWrite, 0x8a: (*Disk).protectedWrite,
	0x2e: (*Disk).protectedWriteVerify, 0xae: (*Disk).protectedWriteVerify, 0x8e: (*Disk).protectedWriteVerify,
	0x2f: (*Disk).protectedVerify, 0xaf: (*Disk).protectedVerify, 0x8f: (*Disk).protectedVerify,
	0x41: (*Disk).protectedWriteSame, 0x93: (*Disk).protectedWriteSame,
	0x89: (*Disk).protectedCompareAndWrite,
	0x8b: (*Disk).protectedOrWrite,
	0x9c: (*Disk).protectedWriteAtomic,
}

// variable is a 32-byte command: flags is what byte 10 has besides the PROTECT field.
func variable(dir scsi.Dir, action int16, name string, n core.Rule, flags byte, gate core.Gate, timeout uint32,
	run func(*Disk, *core.Command) error) row {
	u := []byte("\x7f\x00\x00\x00\x00\x00\x3f\x18\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff" +
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	u[9], u[10] = byte(action), protectBits|flags
	r := none(opVariable, name, string(u), gate, timeout, run).action(action)
	r.Dir, r.Len = dir, withProtection(n, 10)
	return r
}

// longRows are the commands that only a disk with protection information has: those of 32
// bytes. All but XDWRITEREAD are carried out with type 2 protection alone; with another
// type, which a FORMAT UNIT may change, they end with INVALID COMMAND OPERATION CODE
// (SBC-4, 5.16 and its like). iscsi-test-cu takes no usage data of 32 bytes, which is why
// no other disk has XDWRITEREAD(32).
var longRows = []row{
	both(opVariable, "XDWRITEREAD(32)", core.Blocks(28, 4), "\x7f\x00\x00\x00\x00\x00\x3f\x18\x00\x07\x1c\x00"+
		"\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff",
		core.ReadsMedium|core.WritesMedium, short, (*Disk).xdWriteRead).action(0x07),
	variable(scsi.In, 0x09, "READ(32)", core.Blocks(28, 4), dpoFUA, core.ReadsMedium, short, (*Disk).protectedRead),
	variable(scsi.Out, 0x0a, "VERIFY(32)", longVerifyRule, dpoBytchk, core.ReadsMedium, long, (*Disk).protectedVerify),
	variable(scsi.Out, 0x0b, "WRITE(32)", core.Blocks(28, 4), dpoFUA, core.WritesMedium, short, (*Disk).protectedWrite),
	variable(scsi.Out, 0x0c, "WRITE AND VERIFY(32)", core.Blocks(28, 4), dpoBytchk, core.WritesMedium, short,
		(*Disk).protectedWriteVerify),
	variable(scsi.Out, 0x0d, "WRITE SAME(32)", longSameRule, wsUnmap|wsNDOB, core.WritesMedium, long,
		(*Disk).protectedWriteSame).only((*Disk).canUnmap),
	variable(scsi.Out, 0x0d, "WRITE SAME(32)", longSameRule, wsNDOB, core.WritesMedium, long,
		(*Disk).protectedWriteSame).only((*Disk).cannotUnmap),
}

// Flags of the 32-byte commands, in byte 10.
const (
	dpoFUA    = 0x18
	dpoBytchk = 0x16
)

// The lengths of the 32-byte commands whose Data-Out may be shorter than their range.
var (
	longVerifyRule = core.Rule{Off: 28, Func: func(cdb []byte, blockSize uint32) uint64 {
		switch n := uint64(binary.BigEndian.Uint32(cdb[28:])); cdb[10] >> 1 & 3 {
		case bytchkData:
			return n * uint64(blockSize)
		case bytchkBlock:
			return min(n, 1) * uint64(blockSize)
		}
		return 0
	}}
	longSameRule = core.Rule{Off: 28, Func: func(cdb []byte, blockSize uint32) uint64 {
		if cdb[10]&wsNDOB != 0 {
			return 0
		}
		return uint64(blockSize)
	}}
)

// protect makes the list of a disk with protection information of that of another disk.
func protect(list []ops.Op[*Disk]) []ops.Op[*Disk] {
	for i := range list {
		o := &list[i]
		switch run := protected[o.Code]; {
		case o.Code == opFormat:
			o.Usage = withBits(o.Usage, 1, fmtpinfo)
		case run != nil:
			o.Run = run
			if len(o.Usage) > 6 {
				o.Usage = withBits(o.Usage, 1, protectBits)
				o.Len = withProtection(o.Len, 1)
			}
		}
	}
	return list
}

func withBits(usage string, at int, bits byte) string {
	u := []byte(usage)
	u[at] |= bits
	return string(u)
}

// withProtection is the length of a data phase that carries protection information when
// the PROTECT field, in byte at of the CDB, is not zero.
func withProtection(n core.Rule, at int) core.Rule {
	return core.Rule{Off: n.Off, Func: func(cdb []byte, blockSize uint32) uint64 {
		length := n.Length(cdb, blockSize)
		if cdb[at]&protectBits != 0 {
			length += length / uint64(blockSize) * tupleLen
		}
		return length
	}}
}

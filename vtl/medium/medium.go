// Package medium is what a tape drive and the contents of a cartridge say to each other:
// partitions of logical objects, each a logical block or a filemark, numbered from 0
// (SSC-5, 4.2.7). Positions, sense data and all that is SCSI are the drive's; durability,
// compression, encryption and generations are the medium's.
package medium

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// MaxPartitions is the most partitions that a medium can have (SSC-5, 4.2.6).
const MaxPartitions = 4

// MaxBlock is the longest logical block, in bytes: what three bytes of a CDB can say.
const MaxBlock = 1<<24 - 1

// Medium is the contents of one cartridge, mounted by one user at a time. Its methods are
// safe for concurrent use, but the order of two concurrent writes is not defined.
type Medium interface {
	// Info does not change while the medium is mounted, but for Generation.
	Info() Info
	// Partitions is how many partitions there are, at least 1.
	Partitions() int
	// Partition says how partition p stands. It costs no I/O.
	Partition(p int) Partition

	// FilemarksBefore is how many filemarks there are among the objects 0 to object-1;
	// object is at most Partition.Objects. O(log n), without I/O in the usual case.
	FilemarksBefore(p int, object uint64) (uint64, error)
	// Filemark is the object number of the filemark that n others precede; n is below
	// Partition.Filemarks. O(log n).
	Filemark(p int, n uint64) (object uint64, err error)

	// Read returns object and, when it is a block, its first len(dst) bytes in dst. dst may
	// be empty: then only what is known of the object is asked for, and key does not matter. A
	// number at or past Partition.Objects is an Object of the kind EndOfData, no error.
	// Reading in ascending or descending order is what it is fast at.
	// Errors: ErrCorrupt, ErrKeyNeeded, ErrKeyWrong.
	Read(p int, object uint64, dst []byte, key *Key) (Object, error)

	// Write records block as object number at, which is at most Partition.Objects. Below it,
	// all that follows goes first, and stays in an older generation. When it returns, later
	// Reads see the block; it is durable after the next Flush. The medium does not keep block.
	// ErrFull is answered when the block would not fit uncompressed, and nothing goes then.
	// Errors: ErrNoSpace, ErrReadOnly, ErrWORM, ErrFull; a failed write of an earlier block is
	// reported by the first call after it, with Deferred.
	Write(p int, at uint64, block []byte, r Recording) error
	// WriteFilemarks records n filemarks from object number at on, as Write does. They are
	// durable within SyncDelay, or after the next Flush. They take nothing of the capacity. With
	// n = 0 nothing is recorded, and nothing goes.
	WriteFilemarks(p int, at uint64, n uint64) error
	// Truncate makes at the end of data of p (ERASE): what followed stays in an older
	// generation. It is durable when it returns.
	Truncate(p int, at uint64) error
	// Format makes the medium blank, with one partition for each size, in bytes (FORMAT
	// MEDIUM); together they are at most what SetCapacity allows. Attributes stay, but for those of
	// partitions that are no more. It is durable when it returns.
	Format(sizes []int64) error
	// SetCapacity limits the whole medium to numerator/65535 of its native capacity and
	// makes it blank with one partition (SET CAPACITY), as Format does.
	SetCapacity(numerator uint16) error
	// Flush returns when all that was recorded before is durable. Concurrent calls, of all
	// media of a pool, share one commit.
	Flush() error

	// Attribute is the value of attribute id of the medium auxiliary memory (SPC-6, 7.4), of
	// partition p; ok is false when it does not exist.
	Attribute(p int, id uint16) (a Attribute, ok bool)
	// Attributes are all attributes of partition p, in order of identifier.
	Attributes(p int) []Attribute
	// SetAttributes changes attributes of partition p, all or none; an empty value removes
	// one. They are part of the same log as blocks: durable after the next Flush, and never without
	// what was recorded before.
	SetAttributes(p int, a ...Attribute) error

	// Close makes everything durable and ends the use.
	Close() error
}

// SyncDelay is how long after WriteFilemarks its filemarks, and all before them, may be
// lost in a power cut without a Flush.
const SyncDelay = time.Second

// Info is what a medium is.
type Info struct {
	ID      string // of the cartridge for life: a UUID
	Barcode string // the volume identifier
	Type    string // of medium: the name of a personality.Media
	Serial  string // medium serial number
	WORM    bool
	// ReadOnly: nothing can be recorded, since it was mounted so.
	ReadOnly bool
	// Generation counts overwrites, erasures and formats since the cartridge was made.
	Generation uint64
}

// Partition is how a partition stands.
type Partition struct {
	Objects   uint64 // logical objects: the number of the end of data
	Filemarks uint64
	Capacity  int64 // bytes that it can hold
	// Used is what the recorded objects take of Capacity, in bytes, after compression:
	// bytes as a tape would count them, not those of the file system.
	Used int64
	// Written and Stored are the bytes of blocks recorded since the last Format, before and
	// after compression.
	Written, Stored uint64
}

// Kind is the kind of a logical object.
type Kind uint8

// Kinds.
const (
	EndOfData Kind = iota
	Block
	Filemark
)

// Object is what is known of a logical object.
type Object struct {
	Kind   Kind
	Length int    // of a block, in bytes
	CRC    uint32 // CRC32C of a block, as it was given to Write or computed there
	// Encryption is that of a block, nil when it is not encrypted. It is shared: not to be changed.
	Encryption *Encryption
}

// Recording is how a block is to be recorded.
type Recording struct {
	Compress bool
	Key      *Key // nil: not encrypted. The same pointer for the same key.
	// CRC is the CRC32C of the block when HasCRC: what logical block protection has verified
	// already. The medium computes it otherwise.
	CRC    uint32
	HasCRC bool
}

// Key encrypts with AES-256-GCM. It lives in memory only; not even a hash of it that could be
// tested against guesses is stored: see KeyCheck of docs/formats/cartridge.md.
type Key struct {
	AES  [32]byte
	UKAD []byte // unauthenticated key-associated data, at most 32 bytes
	AKAD []byte // authenticated key-associated data, at most 12 bytes
	// RawDecryptionDisabled is RDMC's effect on blocks written with the key (SSC-5, 8.5.3.2).
	RawDecryptionDisabled bool
}

// Encryption is what is stored beside an encrypted block.
type Encryption struct {
	UKAD, AKAD            []byte
	RawDecryptionDisabled bool
}

// Attribute is an attribute of the medium auxiliary memory.
type Attribute struct {
	ID     uint16
	Format uint8 // 0 binary, 1 ASCII, 2 text (SPC-6, 7.4.1)
	Value  []byte
}

// Classes of errors. What is returned wraps them.
var (
	ErrCorrupt   = errors.New("recorded data is damaged")
	ErrKeyNeeded = errors.New("the block is encrypted and there is no key")
	ErrKeyWrong  = errors.New("the block is encrypted with another key")
	ErrNoSpace   = errors.New("no space left where the cartridge is stored")
	ErrFull      = errors.New("the partition is full")
	ErrReadOnly  = errors.New("the cartridge is read only")
	ErrWORM      = errors.New("the cartridge can be written only once")
	ErrGone      = errors.New("the storage of the cartridge is gone")
)

// Deferred wraps an error of something recorded earlier, for which the call that recorded it
// had already returned nil: all from object First of the partition on is not recorded.
type Deferred struct {
	Partition int
	First     uint64
	Err       error
}

func (e *Deferred) Error() string { return "recorded earlier: " + e.Err.Error() }

// Unwrap is the failure.
func (e *Deferred) Unwrap() error { return e.Err }

// Limit is what SetCapacity(numerator) leaves of a native capacity in bytes.
func Limit(native int64, numerator uint16) int64 {
	hi, lo := bits.Mul64(uint64(native), uint64(numerator))
	q, _ := bits.Div64(hi, lo, 65535)
	return int64(q)
}

// MaxAttribute is the longest value of an attribute, in bytes: what two bytes of its header
// can say (SPC-6, 7.4.1).
const MaxAttribute = 1<<16 - 1

// CheckAttributes says what is wrong with attrs as an argument of SetAttributes.
func CheckAttributes(attrs []Attribute) error {
	for _, a := range attrs {
		if len(a.Value) > MaxAttribute {
			return fmt.Errorf("attribute %04Xh of %d bytes; %d is the most", a.ID, len(a.Value), MaxAttribute)
		}
	}
	return nil
}

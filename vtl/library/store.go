package library

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// formatVersion is that of docs/formats/inventory.md.
const formatVersion = 1

// Buckets of the inventory file, and the only key of the first.
var (
	libraryBucket   = []byte("library")
	drivesBucket    = []byte("drives")
	cartridgeBucket = []byte("cartridges")
	libraryKey      = []byte("library")
)

// lockWait is how long Open waits for another program that has the inventory open.
const lockWait = time.Second

// libraryRecord is what is kept of the library itself.
type libraryRecord struct {
	Version   int      `json:"version"`
	Serial    string   `json:"serial"`
	NAA       string   `json:"naa"` // hexadecimal digits
	Slots     int      `json:"slots"`
	Mailslots int      `json:"mailslots"`
	Config    geometry `json:"config"` // as it was configured last
	counters
}

// counters are kept since the library was made.
type counters struct {
	Moves         uint64 `json:"moves"`     // of cartridges by the robot: each is a pick and a place
	Exchanges     uint64 `json:"exchanges"` // of two cartridges at once
	Scans         uint64 `json:"scans"`     // of elements, for INITIALIZE ELEMENT STATUS
	DoorOpens     uint64 `json:"door_opens"`
	MailslotOpens uint64 `json:"mailslot_opens"`
}

// geometry is the part of a Config that can also be changed while the library runs.
type geometry struct {
	Slots     int             `json:"slots"`
	Mailslots int             `json:"mailslots"`
	Drives    []driveGeometry `json:"drives"`
}

type driveGeometry struct {
	Model  string `json:"model"`
	Serial string `json:"serial,omitempty"`
}

// driveRecord is what is kept of a drive, by its number.
type driveRecord struct {
	Model   string `json:"model"`
	Serial  string `json:"serial"`
	NAA     string `json:"naa"`
	Removed bool   `json:"removed,omitempty"`
}

// cartridgeRecord is what is kept of a cartridge, by its ID.
type cartridgeRecord struct {
	Barcode   string    `json:"barcode"`
	Media     string    `json:"media"`
	WORM      bool      `json:"worm,omitempty"`
	Protected bool      `json:"protected,omitempty"`
	Place     Place     `json:"place"`
	Home      Place     `json:"home"`              // the slot or mailslot that the robot took it from last
	ByHand    bool      `json:"by_hand,omitempty"` // it was put where it is by people
	Doing     doing     `json:"doing,omitempty"`
	UsesLeft  int       `json:"uses_left,omitempty"`
	Moves     uint64    `json:"moves"`
	Loads     uint64    `json:"loads"`
	Imports   uint64    `json:"imports"`
	Exports   uint64    `json:"exports"`
	Created   time.Time `json:"created"`
	Moved     time.Time `json:"moved"`
}

// doing is what was under way with a cartridge in its pool, which a crash may have cut off.
type doing string

const (
	creating doing = "creating" // absent from the pool: it never was
	deleting doing = "deleting" // to be deleted still
)

// store is the inventory file.
type store struct{ db *bolt.DB }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal is v as a value of the inventory file: its CRC32C, and JSON.
func seal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli)), b...), nil
}

var errDamaged = errors.New("the record is damaged")

// unseal reads what seal made.
func unseal(b []byte, v any) error {
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return errDamaged
	}
	if err := json.Unmarshal(b[4:], v); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// openStore opens the inventory file, or makes an empty one.
func openStore(path string) (*store, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeStore(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: another program has the inventory open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &store{db}, nil
}

// makeStore makes an empty inventory file. A crash leaves none, or a whole one.
func makeStore(path string) error {
	dir, tmp := filepath.Dir(path), path+".new"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: lockWait})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{libraryBucket, drivesBucket, cartridgeBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (s *store) close() error { return s.db.Close() }

// saved is all that the inventory file holds.
type saved struct {
	library    *libraryRecord // nil: a new file
	drives     map[int]driveRecord
	cartridges map[string]cartridgeRecord
	damaged    []string // cartridges whose record cannot be read
}

// load reads all. Damage of what is not one cartridge's is an error.
func (s *store) load() (*saved, error) {
	all := &saved{drives: map[int]driveRecord{}, cartridges: map[string]cartridgeRecord{}}
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{libraryBucket, drivesBucket, cartridgeBucket} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("there is no bucket %q: this is no inventory", name)
			}
		}
		if b := tx.Bucket(libraryBucket).Get(libraryKey); b != nil {
			all.library = &libraryRecord{}
			if err := unseal(b, all.library); err != nil {
				return fmt.Errorf("the library: %w", err)
			}
			if v := all.library.Version; v != formatVersion {
				return fmt.Errorf("version %d, this program knows %d", v, formatVersion)
			}
		}
		err := tx.Bucket(drivesBucket).ForEach(func(k, v []byte) error {
			var r driveRecord
			if len(k) != 2 {
				return fmt.Errorf("a drive %x: %w", k, errDamaged)
			}
			n := int(binary.BigEndian.Uint16(k))
			if err := unseal(v, &r); err != nil {
				return fmt.Errorf("drive %d: %w", n, err)
			}
			all.drives[n] = r
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Bucket(cartridgeBucket).ForEach(func(k, v []byte) error {
			var r cartridgeRecord
			if unseal(v, &r) != nil {
				all.damaged = append(all.damaged, string(k))
				return nil
			}
			all.cartridges[string(k)] = r
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.db.Path(), err)
	}
	return all, nil
}

// batch is one transaction: values by key, nil to delete.
type batch struct {
	library    *libraryRecord
	drives     map[int]*driveRecord
	cartridges map[string]*cartridgeRecord
}

// commit makes b durable, all or nothing. After an error that is not known: either.
func (s *store) commit(b batch) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if b.library != nil {
			if err := put(tx.Bucket(libraryBucket), libraryKey, b.library); err != nil {
				return err
			}
		}
		for n, r := range b.drives {
			if err := put(tx.Bucket(drivesBucket), binary.BigEndian.AppendUint16(nil, uint16(n)), r); err != nil {
				return err
			}
		}
		for _, id := range slices.Sorted(maps.Keys(b.cartridges)) { // in another order, many are slow
			if err := put(tx.Bucket(cartridgeBucket), []byte(id), b.cartridges[id]); err != nil {
				return err
			}
		}
		return nil
	})
}

func put[T any](b *bolt.Bucket, key []byte, v *T) error {
	if v == nil {
		return b.Delete(key)
	}
	value, err := seal(v)
	if err != nil {
		return err
	}
	return b.Put(key, value)
}

package library

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// What is read is what was sealed; anything else is damaged.
func FuzzUnseal(f *testing.F) {
	b, err := seal(cartridgeRecord{Barcode: "TG0001L8", Place: Place{Slot, 3}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r cartridgeRecord
		if err := unseal(b, &r); err != nil {
			if !errors.Is(err, errDamaged) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := seal(r)
		if err != nil {
			t.Fatal(err)
		}
		var r2 cartridgeRecord
		if err := unseal(again, &r2); err != nil || r2 != r {
			t.Errorf("%+v, %v, want %+v", r2, err, r)
		}
	})
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "inventory")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.commit(batch{library: &libraryRecord{Version: formatVersion},
		drives:     map[int]*driveRecord{1: {Model: "m"}},
		cartridges: map[string]*cartridgeRecord{"a": {Barcode: "A"}, "b": {Barcode: "B"}}})
	if err != nil {
		t.Fatal(err)
	}
	damage := func(bucket, key []byte) {
		t.Helper()
		err := s.db.Update(func(tx *bolt.Tx) error {
			v := append([]byte(nil), tx.Bucket(bucket).Get(key)...)
			v[len(v)-1] ^= 1
			return tx.Bucket(bucket).Put(key, v)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	damage(cartridgeBucket, []byte("a"))
	all, err := s.load()
	if err != nil || len(all.damaged) != 1 || all.cartridges["b"].Barcode != "B" {
		t.Fatalf("%+v, %v", all, err)
	}
	damage(drivesBucket, []byte{0, 1})
	if _, err := s.load(); !errors.Is(err, errDamaged) {
		t.Errorf("a damaged drive: %v", err)
	}
	damage(drivesBucket, []byte{0, 1}) // whole again
	if err := s.commit(batch{library: &libraryRecord{Version: formatVersion + 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(); err == nil {
		t.Error("a later version was read")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("no inventory"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := openStore(path); err == nil {
		s.close()
		t.Error("what is no inventory was opened")
	}
}

// A crash while the file is made, and a file that is another's.
func TestNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "inventory")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte("cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.load(); err != nil || all.library != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(drivesBucket) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(); err == nil {
		t.Error("a file without drives was read")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

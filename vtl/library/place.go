package library

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Kind is a kind of place.
type Kind uint8

// Kinds of places. Their numbers are in the inventory file.
const (
	NoPlace  Kind = iota
	Vault         // the shelf outside of the library
	Slot          // storage element
	Mailslot      // import/export element
	Drive         // data transfer element
)

var kindNames = [...]string{"", "vault", "slot", "mailslot", "drive"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// Place is where a cartridge can be. The zero value is no place.
type Place struct {
	Kind Kind
	N    int // counts from 1; 0 for the vault
}

// InVault is the place of all cartridges outside of the library.
var InVault = Place{Kind: Vault}

// String is the place as people and ParsePlace know it: "slot:5", "vault".
func (p Place) String() string {
	if p.Kind == Vault || p.Kind == NoPlace {
		return p.Kind.String()
	}
	return p.Kind.String() + ":" + strconv.Itoa(p.N)
}

// ParsePlace reads what String writes. The error is an ErrInvalid.
func ParsePlace(s string) (Place, error) {
	kind, number, numbered := strings.Cut(s, ":")
	for k := Vault; int(k) < len(kindNames); k++ {
		if kindNames[k] != kind {
			continue
		}
		if k == Vault && !numbered {
			return InVault, nil
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err == nil && n > 0 && k != Vault {
			return Place{k, int(n)}, nil
		}
	}
	return Place{}, fmt.Errorf("%w: place %q is not drive:N, slot:N, mailslot:N or vault", ErrInvalid, s)
}

// MarshalText makes a Place a string in JSON.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText made.
func (p *Place) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*p = Place{}
		return nil
	}
	*p, err = ParsePlace(string(b))
	return err
}

// Compare orders places: drives first, then mailslots, slots and the vault.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(q.Kind, p.Kind), cmp.Compare(p.N, q.N))
}

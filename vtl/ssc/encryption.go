package ssc

import (
	"sync"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

// Additional sense codes of tape encryption, beside those of errors.go.
const (
	unencryptedWhileDecrypting sense.Code = 0x7402
	encryptionModeMismatch     sense.Code = 0x7409
	notRawReadEnabled          sense.Code = 0x740a
	encryptionChanged          sense.Code = 0x2a11 // by another I_T nexus
	keyInstanceChanged         sense.Code = 0x2a13
)

// Scopes of logical block encryption parameters (SSC-5, 4.2.24.7).
const (
	scopePublic = 0
	scopeLocal  = 1
	scopeAll    = 2
)

// ENCRYPTION MODE and DECRYPTION MODE.
const (
	encryptDisable = 0
	encryptEncrypt = 2

	decryptDisable = 0
	decryptRaw     = 1
	decryptDecrypt = 2
	decryptMixed   = 3
)

// Values of CHECK EXTERNAL ENCRYPTION MODE: whether a block that is read must have been encrypted by an
// application, which none of ours was, or by a drive.
const ceemExternal = 2

// Lengths of keys and of what goes with them, of AES-256-GCM (SSC-5, annex D).
const (
	keyLen  = 32
	ukadMax = 32
	akadMax = 12
)

// keySet is a set of logical block encryption parameters. It is never changed: another takes its place.
type keySet struct {
	encrypt, decrypt uint8
	key              *medium.Key // nil: no mode needs one
	kadFormat        uint8
	ceem             uint8
	clearOnDemount   bool   // CKOD
	counter          uint32 // KEY INSTANCE COUNTER
	scope            uint8  // LOCAL or ALL I_T NEXUS as it was set; PUBLIC of the default
}

// without is a set of no keys in the place of k.
func (k *keySet) without() *keySet { return &keySet{counter: k.counter + 1} }

// encryption is the keys of a drive: one set for all I_T nexuses, and those of single ones. They live
// in memory alone, and end with a reset, with the nexus that they are for, or with the medium when CKOD
// says so.
type encryption struct {
	mu     sync.Mutex
	shared *keySet
	nexus  map[uint32]*nexusKeys // of those that have used the protocol
}

// nexusKeys is what is known of an I_T nexus.
type nexusKeys struct {
	path  *core.Path
	scope uint8
	local *keySet // with the scope LOCAL
	// locked: commands to the medium are refused when the key instance counter is not lockedAt any more.
	locked   bool
	lockedAt uint32
}

var noKeys = &keySet{}

// of is what is known of c's nexus, which is registered for unit attentions from now on. The caller
// holds e.mu.
func (e *encryption) of(c *core.Command) *nexusKeys {
	if e.nexus == nil {
		e.nexus = map[uint32]*nexusKeys{}
	}
	id := c.Path.Nexus().ID
	n := e.nexus[id]
	if n == nil {
		n = &nexusKeys{}
		e.nexus[id] = n
	}
	n.path = c.Path
	return n
}

// effective is the set that n uses; n may be nil.
func (e *encryption) effective(n *nexusKeys) *keySet {
	switch {
	case n != nil && n.scope == scopeLocal:
		return n.local
	case e.shared != nil:
		return e.shared
	}
	return noKeys
}

// status is the scope of c's nexus, and the set that it uses.
func (e *encryption) status(c *core.Command) (scope uint8, k *keySet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.of(c)
	return n.scope, e.effective(n)
}

// set makes k the set of c's nexus, or of all, by scope; with PUBLIC the nexus uses that of all.
func (e *encryption) set(c *core.Command, scope uint8, lock bool, k *keySet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.of(c)
	k.scope = scope
	switch scope {
	case scopePublic:
		n.local = nil
	case scopeLocal:
		if n.local != nil {
			k.counter = n.local.counter + 1
		} else {
			k.counter = 1
		}
		n.local = k
	case scopeAll:
		k.counter = e.effective(nil).counter + 1
		n.local, e.shared = nil, k
		for _, other := range e.nexus {
			if other == n || other.scope == scopeLocal {
				continue
			}
			other.scope = scopePublic
			other.path.Raise(sense.New(sense.UnitAttention, encryptionChanged))
		}
	}
	n.scope = scope
	n.locked, n.lockedAt = lock, e.effective(n).counter
}

// demounted is told that the medium leaves.
func (e *encryption) demounted() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shared != nil && e.shared.clearOnDemount {
		e.shared = e.shared.without()
	}
	for _, n := range e.nexus {
		if n.local != nil && n.local.clearOnDemount {
			n.local = n.local.without()
		}
	}
}

// lost is told that nexus id is gone, and its own keys with it. Those for all stay (SSC-5, 4.2.24.8).
func (e *encryption) lost(id uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.nexus, id)
}

// reset is told of a reset: there are no keys any more.
func (e *encryption) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shared, e.nexus = nil, nil
}

// keysFor gives a command to the medium its keys. The error ends it: its nexus is locked to others.
func (d *Drive) keysFor(c *core.Command) (*keySet, error) {
	e := &d.keys
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nexus[c.Path.Nexus().ID]
	k := e.effective(n)
	if n != nil && n.locked && n.lockedAt != k.counter {
		return nil, sense.New(sense.DataProtect, keyInstanceChanged)
	}
	return k, nil
}

// forWrite is the key that blocks are recorded with, nil for none.
func (k *keySet) forWrite() *medium.Key {
	if k.encrypt == encryptEncrypt {
		return k.key
	}
	return nil
}

// forRead is the key that blocks are read with, nil for none.
func (k *keySet) forRead() *medium.Key {
	if k.decrypt == decryptDecrypt || k.decrypt == decryptMixed {
		return k.key
	}
	return nil
}

// check says whether o, a block that could be read, may be given to the initiator.
func (k *keySet) check(o medium.Object) error {
	switch {
	case o.Kind != medium.Block:
	case o.Encryption == nil && k.decrypt == decryptDecrypt:
		return sense.New(sense.DataProtect, unencryptedWhileDecrypting)
	case o.Encryption != nil && k.ceem == ceemExternal:
		return sense.New(sense.DataProtect, encryptionModeMismatch)
	}
	return nil
}

// refused is err of reading a block that is encrypted, which raw reading cannot give either.
func (k *keySet) refused(err error) error {
	if k.decrypt == decryptRaw {
		return sense.New(sense.DataProtect, notRawReadEnabled).WithCause(err)
	}
	return err
}

package copy

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// Limits of ROD tokens, as VPD page 8Fh reports them.
const (
	maxTokens      = 1024 // of a Manager
	maxNexusTokens = 256  // made for one I_T nexus
	maxRanges      = 64   // block device range descriptors of one command
	maxTokenBytes  = 4 << 30
	optimalBytes   = 64 << 20

	minTimeout     = 1 // seconds without use
	defaultTimeout = 60
	maxTimeout     = 600
)

// ROD types (SPC-4, ROD types).
const (
	rodOnReference = 0x00010000 // access upon reference
	rodZero        = 0xffff0001 // block device zero ROD token (SBC-3)
)

// Where the fields of a ROD token lie (SPC-4, ROD token format).
const (
	tokenLen    = 512
	tokenBody   = 0x01f8 // ROD TOKEN LENGTH
	tokenIDAt   = 8
	tokenUnitAt = 16  // a CSCD descriptor of the logical unit
	tokenSizeAt = 48  // NUMBER OF BYTES REPRESENTED, 16 bytes
	tokenTypeAt = 96  // READ CAPACITY(16) data from its block length on
	tokenKeyAt  = 448 // random: whoever has not seen the token cannot guess it
)

// Errors of tokens: INVALID TOKEN OPERATION and its kinds.
var (
	errTokenType    = sense.New(sense.IllegalRequest, 0x2301)
	errTokenUnknown = sense.New(sense.IllegalRequest, 0x2304)
	errTokenCorrupt = sense.New(sense.IllegalRequest, 0x2305)
	errTokenExpired = sense.New(sense.IllegalRequest, 0x2307)
	errTokenDeleted = sense.New(sense.IllegalRequest, 0x2309)
	errTokenLength  = sense.New(sense.IllegalRequest, 0x230a)
	errNoTokens     = sense.New(sense.IllegalRequest, 0x550d)
	errUnauthorized = sense.New(sense.IllegalRequest, 0x2615)
)

type tokenID [8]byte

// span is a block device range descriptor.
type span struct{ lba, blocks uint64 }

// token is a ROD token that this manager made. All but what tokens.mu guards is constant.
type token struct {
	raw       [tokenLen]byte
	unit      *core.Unit
	nexus     uint32 // for the limit only: any nexus that sees the unit may use it
	blockSize uint64
	spans     []span
	blocks    uint64
	timeout   time.Duration

	last    time.Time // begin or end of the last use
	users   int
	deleted bool
}

// tokens are those of a Manager. A token is forgotten some time after it expired, when
// room is needed.
type tokens struct {
	now func() time.Time

	mu    sync.Mutex
	known map[tokenID]*token
}

func (t *token) expired(now time.Time) bool { return t.users == 0 && now.Sub(t.last) > t.timeout }

// add makes t known and writes its id, type, size and secret.
func (l *tokens) add(t *token) error {
	binary.BigEndian.PutUint32(t.raw[:], rodOnReference)
	binary.BigEndian.PutUint16(t.raw[6:], tokenBody)
	binary.BigEndian.PutUint64(t.raw[tokenSizeAt+8:], t.blocks*t.blockSize)
	rand.Read(t.raw[tokenIDAt : tokenIDAt+len(tokenID{})])
	rand.Read(t.raw[tokenKeyAt:])

	l.mu.Lock()
	defer l.mu.Unlock()
	t.last = l.now()
	own := 0
	for id, o := range l.known {
		if o.expired(t.last) || o.deleted && o.users == 0 {
			delete(l.known, id)
		} else if o.nexus == t.nexus {
			own++
		}
	}
	if len(l.known) >= maxTokens || own >= maxNexusTokens {
		return errNoTokens
	}
	l.known[t.id()] = t
	return nil
}

func (t *token) id() tokenID { return tokenID(t.raw[tokenIDAt:]) }

// use finds the token whose bytes are raw and keeps it from expiring until done. del:
// nobody may use it again (DEL_TKN). nil without an error is the token of all zeros.
func (l *tokens) use(raw []byte, del bool) (*token, error) {
	kind := binary.BigEndian.Uint32(raw)
	switch {
	case kind != rodOnReference && kind != rodZero:
		return nil, errTokenType
	case binary.BigEndian.Uint16(raw[6:]) != tokenBody:
		return nil, errTokenLength
	case kind == rodZero:
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.known[tokenID(raw[tokenIDAt:])]
	now := l.now()
	switch {
	case t == nil:
		return nil, errTokenUnknown
	case subtle.ConstantTimeCompare(t.raw[:], raw) == 0:
		return nil, errTokenCorrupt
	case t.deleted:
		return nil, errTokenDeleted
	case t.expired(now):
		return nil, errTokenExpired
	}
	t.users++
	t.last, t.deleted = now, del
	return t, nil
}

// done ends use; t may be nil.
func (l *tokens) done(t *token) {
	if t == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.users--
	t.last = l.now()
}

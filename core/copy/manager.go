package copy

import (
	"sync"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
)

// Limits, as RECEIVE COPY OPERATING PARAMETERS and VPD page 8Fh report them.
const (
	maxTargets  = 16 // CSCD descriptors in one list
	maxSegments = 64 // segment descriptors in one list
	// maxListLen is how many bytes the descriptors of one list may have.
	maxListLen     = maxTargets*targetLen + maxSegments*segmentOffsetLen
	maxSegmentLen  = 256 << 20 // bytes that one segment copies
	maxCopies      = 64        // under way at a time in a Manager
	maxNexusCopies = 16        // of them, begun by one I_T nexus at one logical unit
	maxRecords     = 32        // finished ones that it can still ask about
)

// chunkLen is what one visit reads or writes: a multiple of every block size.
const chunkLen = 256 << 10

// Manager is what the copy managers of all logical units share: ROD tokens, and the
// bound on copies. It is safe for concurrent use.
type Manager struct {
	slots  chan struct{} // one for each copy that is under way
	chunks sync.Pool     // of *[chunkLen]byte, one in use for each
	tokens tokens
}

// NewManager makes one for all units of a server.
func NewManager() *Manager {
	return &Manager{
		slots:  make(chan struct{}, maxCopies),
		tokens: tokens{now: time.Now, known: map[tokenID]*token{}},
	}
}

func (m *Manager) chunk() *[chunkLen]byte {
	if b, ok := m.chunks.Get().(*[chunkLen]byte); ok {
		return b
	}
	return new([chunkLen]byte)
}

// Service is the copy manager of one logical unit (core.Service). The unit is a disk:
// it has READ(16), WRITE(16) and READ CAPACITY(16).
type Service struct {
	m   *Manager
	set *ops.Set[*Service]

	mu    sync.Mutex
	begun map[*core.Path][]*operation // in order of their beginning
}

var (
	_ core.Service   = (*Service)(nil)
	_ core.Describer = (*Service)(nil)
)

// NewService makes the copy manager of one logical unit, for core.UnitOptions.
func (m *Manager) NewService() *Service {
	return &Service{m: m, set: ops.Compile(table), begun: map[*core.Path][]*operation{}}
}

// Attach needs nothing of the unit (core.Service).
func (s *Service) Attach(core.Host) error { return nil }

// Rows are the commands of a copy manager (core.Service).
func (s *Service) Rows() []*core.Row { return s.set.Rows() }

// Execute carries out cmd (core.Service).
func (s *Service) Execute(cmd *core.Command) error { return s.set.Execute(s, cmd) }

// Gate lets every command pass (core.Service).
func (s *Service) Gate(*core.Command) error { return nil }

// Lost ends what p began and forgets it (core.Service).
func (s *Service) Lost(p *core.Path) { s.forget(func(o *core.Path) bool { return o == p }) }

// Reset ends what anyone began here in the background, and forgets all list identifiers
// (core.Service). Tokens stay valid.
func (s *Service) Reset() { s.forget(func(*core.Path) bool { return true }) }

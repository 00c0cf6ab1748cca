package iscsi

import (
	"encoding/hex"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/session"
	"github.com/targate/targate/gateway/target"
)

// Why a connection ends whose session may go on by another one.
const (
	doesNotRead = "the peer does not read"
	noAnswer    = "no answer to NOP-In"
	reconnected = "connection reinstatement"
)

// tie is what a session and its connection have in common (target.Session.Door).
type tie struct {
	params login.Params
	cid    uint16
	state  *session.State // once the connection is lost
}

// lost reports whether a connection that has ended was lost: its session is kept for
// Time2Retain. A logout and what we end ourselves end the session.
func (p *peer) lost() bool {
	why := p.why.Load()
	return !p.clean && (why == nil || *why == doesNotRead || *why == noAnswer || *why == reconnected)
}

func retain(r *login.Result) time.Duration { return time.Duration(r.Time2Retain) * time.Second }

func initiatorPort(name string, isid [6]byte) core.InitiatorPort {
	return core.InitiatorPort{Name: name, Session: hex.EncodeToString(isid[:])}
}

// session finds what a login with a TSIH wants to go on with. A session has one connection, so
// that is the reinstatement of this one (RFC 7143, 6.3.4): another CID would be a second.
func (p *peer) session(iqn, initiator string, q *login.Request) (*login.Params, error) {
	if t := p.s.gw.Target(iqn); t != nil {
		if ts := t.Find(initiatorPort(initiator, q.ISID), p.portal.GroupTag(), q.TSIH); ts != nil {
			switch k, _ := ts.Door().(*tie); {
			case k == nil: // its login is not over
			case k.cid != q.CID:
				return nil, login.Refuse(login.TooManyConnections, "CID %d, the session has %d", q.CID, k.cid)
			default:
				return &k.params, nil
			}
		}
	}
	return nil, login.Refuse(login.NoSession, "TSIH is %d", q.TSIH)
}

// stateOf is what a session that is resumed goes on with, nil for a new one.
func stateOf(ts *target.Session) *session.State {
	if k, _ := ts.Door().(*tie); k != nil {
		return k.state
	}
	return nil
}

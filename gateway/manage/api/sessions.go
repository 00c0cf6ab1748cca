package api

import (
	"net/http"
	"slices"

	"github.com/targate/targate/gateway/manage"
)

// SessionRequest is the question of the routes that end sessions.
type SessionRequest struct {
	manage.SessionChoice
	// Within is how many seconds an initiator has to log out; 0 is DefaultWithin.
	Within uint16 `json:"within,omitempty"`
}

// DefaultWithin is how many seconds an initiator has to log out.
const DefaultWithin = 10

// SessionResult is their answer.
type SessionResult struct {
	Sessions int `json:"sessions"` // how many there are to end
}

func (s *Server) logout(r *http.Request) (any, error) {
	return endSessions(r, func(q SessionRequest) int {
		if q.Within == 0 {
			q.Within = DefaultWithin
		}
		return s.o.Manager.LogoutSessions(q.SessionChoice, q.Within)
	})
}

func (s *Server) drop(r *http.Request) (any, error) {
	return endSessions(r, func(q SessionRequest) int { return s.o.Manager.DropSessions(q.SessionChoice) })
}

func endSessions(r *http.Request, end func(SessionRequest) int) (any, error) {
	var q SessionRequest
	if err := Body(r, &q); err != nil {
		return nil, err
	}
	if n := len(slices.DeleteFunc([]bool{q.TSIH != 0, q.Target != "", q.Device != ""}, func(b bool) bool { return !b })); n != 1 {
		return nil, NewProblem(http.StatusBadRequest, "one of tsih, target and device is needed")
	}
	n := end(q)
	if n == 0 {
		return nil, NewProblem(http.StatusNotFound, "there is no such session")
	}
	return SessionResult{n}, nil
}

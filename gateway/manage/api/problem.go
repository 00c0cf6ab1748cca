package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/config"
)

// Types of problem, beside "about:blank" for what the status says already.
const (
	TypeFaults   = "urn:targate:problem:faults"   // the configuration has faults
	TypeConflict = "urn:targate:problem:conflict" // what is asked for cannot be as things are
)

// Problem is an error as RFC 9457 has it.
type Problem struct {
	Type   string        `json:"type"`
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Detail string        `json:"detail,omitempty"`
	Faults config.Faults `json:"faults,omitempty"`
}

func (p *Problem) Error() string {
	switch {
	case len(p.Faults) > 0:
		return p.Faults.Error()
	case p.Detail != "":
		return p.Detail
	}
	return p.Title
}

// NewProblem is what a status of HTTP says, and detail.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// NewConflict says that what is asked for cannot be while things are as they are.
func NewConflict(detail string) *Problem {
	p := NewProblem(http.StatusConflict, detail)
	p.Type = TypeConflict
	return p
}

// problemOf says what err is to a client.
func problemOf(err error) *Problem {
	var p *Problem
	var conflict *manage.Conflict
	var faults config.Faults
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &conflict):
		return &Problem{TypeConflict, "The configuration cannot follow from what runs", http.StatusConflict, "", conflict.Faults}
	case errors.As(err, &faults):
		return &Problem{TypeFaults, "The configuration has faults", http.StatusUnprocessableEntity, "", faults}
	}
	return NewProblem(http.StatusInternalServerError, err.Error())
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}

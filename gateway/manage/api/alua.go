package api

import (
	"errors"
	"net/http"

	"github.com/targate/targate/core/alua"
	"github.com/targate/targate/gateway/manage"
)

// ALUARequest is the question of POST /v1/alua; the answer is that of GET.
type ALUARequest struct {
	Tag   uint16     `json:"tag"`
	State alua.State `json:"state"`
}

func (s *Server) alua(*http.Request) (any, error) {
	v, err := s.o.Manager.ALUA()
	if err != nil {
		return nil, aluaProblem(err)
	}
	return v, nil
}

func (s *Server) setALUA(r *http.Request) (any, error) {
	q := ALUARequest{State: alua.Transitioning} // no state that can be asked for
	if err := Body(r, &q); err != nil {
		return nil, err
	}
	if q.State == alua.Transitioning {
		return nil, NewProblem(http.StatusBadRequest, "state is missing")
	}
	if err := s.o.Manager.SetALUA(r.Context(), q.Tag, q.State); err != nil {
		return nil, aluaProblem(err)
	}
	return s.alua(r)
}

func aluaProblem(err error) error {
	switch {
	case errors.Is(err, manage.ErrNoALUA), errors.Is(err, alua.ErrNoGroup):
		return NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, alua.ErrImplicit):
		return NewConflict(err.Error())
	}
	return err
}

package api

import (
	"net/http"

	"github.com/targate/targate/gateway/manage"
)

// Latency is the answer of GET /v1/latency, and of POST /v1/latency/reset: what there was
// until then.
type Latency struct{ manage.Latency }

func (s *Server) latency(*http.Request) (any, error) { return Latency{s.o.Manager.Latency()}, nil }

func (s *Server) resetLatency(r *http.Request) (any, error) {
	if err := Body(r, &struct{}{}); err != nil {
		return nil, err
	}
	l := Latency{s.o.Manager.Latency()}
	s.o.Manager.ResetLatency()
	return l, nil
}

package api

import (
	"encoding/json"
	"mime"
	"net/http"
	"path/filepath"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/config"
)

// Route is one thing that the API can do.
type Route struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Doc    string `json:"doc"`
	// Changes: it is refused over TCP.
	Changes bool `json:"changes"`
	// Run answers with what becomes JSON. An error that is no *Problem is a failure of the
	// server.
	Run func(*http.Request) (any, error) `json:"-"`

	run func(*Server, *http.Request) (any, error)
}

// routes is the API, but for what the program adds.
var routes = []Route{
	{Method: "GET", Path: "/v1", Doc: "the routes", run: (*Server).index},
	{Method: "GET", Path: "/v1/status", Doc: "the server in a few numbers", run: (*Server).status},
	{Method: "GET", Path: "/v1/targets", Doc: "the targets", run: (*Server).targets},
	{Method: "GET", Path: "/v1/sessions", Doc: "the sessions", run: (*Server).sessions},
	{Method: "GET", Path: "/v1/devices", Doc: "the devices", run: (*Server).devices},
	{Method: "GET", Path: "/v1/alua", Doc: "the target port groups", run: (*Server).alua},
	{Method: "GET", Path: "/v1/latency", Doc: "how long commands took, by device, session, class and stage", run: (*Server).latency},
	{Method: "GET", Path: "/v1/config", Doc: "the configuration file that was last applied", run: (*Server).config},
	{Method: "POST", Path: "/v1/apply", Doc: "make what runs match a configuration file", Changes: true, run: (*Server).apply},
	{Method: "POST", Path: "/v1/latency/reset", Doc: "count latencies anew; answers with what there was", Changes: true, run: (*Server).resetLatency},
	{Method: "POST", Path: "/v1/alua", Doc: "put a target port group into a state", Changes: true, run: (*Server).setALUA},
	{Method: "POST", Path: "/v1/sessions/logout", Doc: "ask initiators to log out", Changes: true, run: (*Server).logout},
	{Method: "POST", Path: "/v1/sessions/drop", Doc: "end sessions", Changes: true, run: (*Server).drop},
}

// Index is the answer of GET /v1.
type Index struct {
	Routes []Route `json:"routes"`
}

// Status is the answer of GET /v1/status.
type Status struct {
	Version string `json:"version"`
	manage.Status
}

// Targets is the answer of GET /v1/targets.
type Targets struct {
	Targets []manage.TargetStatus `json:"targets"`
}

// Sessions is the answer of GET /v1/sessions.
type Sessions struct {
	Sessions []manage.SessionStatus `json:"sessions"`
}

// Devices is the answer of GET /v1/devices.
type Devices struct {
	Devices []manage.DeviceStatus `json:"devices"`
}

// Config is the answer of GET /v1/config and the question of POST /v1/apply.
type Config struct {
	File string `json:"file"` // its name in faults
	// Dir is what relative paths are relative to: an absolute path on the server.
	Dir  string `json:"dir,omitempty"`
	Text string `json:"text"`
}

func (s *Server) index(*http.Request) (any, error) { return Index{s.routes}, nil }

func (s *Server) status(*http.Request) (any, error) {
	return Status{s.o.Version, s.o.Manager.Status()}, nil
}

func (s *Server) targets(*http.Request) (any, error) { return Targets{s.o.Manager.Targets()}, nil }

func (s *Server) sessions(*http.Request) (any, error) { return Sessions{s.o.Manager.Sessions()}, nil }

func (s *Server) devices(*http.Request) (any, error) { return Devices{s.o.Manager.Devices()}, nil }

func (s *Server) config(*http.Request) (any, error) {
	file, text := s.o.Manager.Config()
	if text == nil {
		return nil, NewProblem(http.StatusNotFound, "no configuration was applied yet")
	}
	return Config{File: file, Text: string(text)}, nil
}

// maxBody holds a configuration of config.MaxLen whose every byte is escaped.
const maxBody = 6*config.MaxLen + 64<<10

// Body decodes what a request that changes something brings into v.
func Body(r *http.Request, v any) error {
	// A web page cannot send this type without asking first, and it is not answered.
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return NewProblem(http.StatusUnsupportedMediaType, "the body is application/json")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return NewProblem(http.StatusBadRequest, err.Error())
	}
	return nil
}

func (s *Server) apply(r *http.Request) (any, error) {
	var c Config
	if err := Body(r, &c); err != nil {
		return nil, err
	}
	if c.File == "" || !filepath.IsAbs(c.Dir) {
		return nil, NewProblem(http.StatusBadRequest, "file is a name, and dir an absolute path")
	}
	m, err := s.o.Parse(c.File, c.Dir, []byte(c.Text))
	if err != nil {
		return nil, err
	}
	diff, err := s.o.Manager.Apply(r.Context(), m)
	if err != nil {
		return nil, err
	}
	if diff.Changes == nil {
		diff.Changes = []manage.Change{}
	}
	return diff, nil
}

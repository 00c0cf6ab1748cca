package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/targate/targate/gateway/manage"
)

// Client asks a server at a unix socket.
type Client struct {
	http http.Client
}

// NewClient makes a client of the socket at path. It connects when it is used.
func NewClient(path string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// Get asks for path and decodes the answer into v. The error is a *Problem when the
// server says so.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	return c.do(ctx, http.MethodGet, path, nil, v)
}

// Apply makes what runs match cfg.
func (c *Client) Apply(ctx context.Context, cfg Config) (manage.Diff, error) {
	var d manage.Diff
	err := c.Post(ctx, "/v1/apply", cfg, &d)
	return d, err
}

// Post sends q to path and decodes the answer into v. The error is as of Get.
func (c *Client) Post(ctx context.Context, path string, q, v any) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, b, v)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, v any) error {
	// The host is not used: the connection is to the socket.
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	a, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(a.Body, 256<<20))
	if err != nil {
		return err
	}
	if a.StatusCode == http.StatusOK {
		return json.Unmarshal(b, v)
	}
	p := &Problem{}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(b, p) != nil {
		return fmt.Errorf("the server answers %s", a.Status)
	}
	return p
}

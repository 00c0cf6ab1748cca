// Package api is the control API: JSON over HTTP, on a unix socket that only the
// server's user and root may use, and, to look only, over TCP.
//
// Every path begins with its version. Answers are JSON objects, and may gain members;
// errors are problem details (RFC 9457). The routes are one table (routes.go), which
// GET /v1 lists.
package api

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/api"
)

// latencies looks at what "status --latency" says of the server whose socket is in dir, and at
// what a reset leaves of it. disk0 was written to.
func latencies(t *testing.T, dir string) {
	t.Helper()
	ask := func(args ...string) api.Latency {
		t.Helper()
		out, errs, code := program(t, dir, append([]string{"status", "--latency", "--socket", "targate.sock"}, args...)...)
		var l api.Latency
		if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 {
			t.Fatalf("status --latency: %v, exit code %d\n%s", err, code, errs)
		}
		return l
	}
	text, errs, code := program(t, dir, "status", "--latency", "--socket", "targate.sock")
	if code != 0 || !strings.Contains(text, "P99.9") || !strings.Contains(text, "execute") {
		t.Errorf("exit code %d: %s\n%s", code, errs, text)
	}
	l := ask("-o", "json", "--reset")
	i := slices.IndexFunc(l.Devices, func(d manage.DeviceLatency) bool { return d.Name == "disk0" })
	if i < 0 || len(l.Sessions) != 2 || len(l.Stages) != 6 {
		t.Fatalf("devices %v, %d sessions, %d stages", l.Devices, len(l.Sessions), len(l.Stages))
	}
	for _, s := range l.Devices[i].Stages { // whatever was measured makes sense
		var n uint64
		for _, b := range s.Buckets {
			n += b.Count
		}
		if s.Count == 0 || n != s.Count || s.P50 > s.P99 || s.P99 > s.P999 || s.P999 > s.Max || s.Mean > s.Max {
			t.Errorf("%+v", s)
		}
	}
	if after := ask("-o", "json"); !after.Since.After(l.Since) || len(after.Devices[i].Stages) != 0 {
		t.Errorf("after a reset: since %v, %v", after.Since, after.Devices[i].Stages)
	}
}

func TestBrief(t *testing.T) {
	for want, d := range map[string]time.Duration{"0s": 0, "96ns": 96, "347ns": 347, "12.3µs": 12345,
		"1.23ms": 1234567, "12.3s": 12345678901, "2m3s": 123456789012} {
		if got := brief(d); got != want {
			t.Errorf("%d ns is %s, want %s", d, got, want)
		}
	}
}

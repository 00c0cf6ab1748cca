package main

import (
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// notify tells the service manager what NOTIFY_SOCKET is for (sd_notify(3)). Without
// one it does nothing.
func notify(log *slog.Logger, state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	// A leading @ is an abstract socket, in Go as there.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		defer c.Close() //nolint:errcheck // a datagram
		_, err = c.Write([]byte(state))
	}
	if err != nil {
		log.Warn("the service manager was not told", "state", state, "error", err)
	}
}

// monotonicMicroseconds is CLOCK_MONOTONIC, which a reload is told with.
func monotonicMicroseconds() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano() / 1000
}

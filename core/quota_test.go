package core

import (
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	var q quota
	now := time.Unix(1000, 0)
	for i := range logPerSecond {
		if missed, ok := q.take(now); !ok || missed != 0 {
			t.Fatalf("line %d: %d missed, %v", i, missed, ok)
		}
	}
	for range 5 {
		if _, ok := q.take(now); ok {
			t.Fatal("a line too many")
		}
	}
	if missed, ok := q.take(now.Add(time.Second)); !ok || missed != 5 {
		t.Fatalf("the next second: %d missed, %v", missed, ok)
	}
}

package core

import (
	"context"
	"testing"
)

// TestContext: a context made from a Command ends with the task, and lets go of the
// Command when it is cancelled, so that the Command can carry out another task.
func TestContext(t *testing.T) {
	c := &Command{}
	child, cancel := context.WithCancel(c)
	c.TaskCancel(nil)
	<-child.Done()
	cancel()

	c.Reset()
	child, cancel = context.WithCancel(c)
	cancel()
	<-child.Done()
	if len(c.after) != 0 {
		t.Errorf("%d functions wait for an abort", len(c.after))
	}
	c.Reset()
	if c.Err() != nil {
		t.Error("the next task begins aborted")
	}
	stop := c.AfterFunc(func() { t.Error("called without an abort") })
	if !stop() || stop() {
		t.Error("stop does not say whether it came in time")
	}
}

package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// agentVariable holds the address of the host's end when this binary is the agent.
const agentVariable = "TARGATE_VM_AGENT"

// request is a command for the guest; reply its end.
type request struct {
	ID    int
	Shell string
	Limit time.Duration
}

type reply struct {
	ID     int
	Code   int // exit status
	Output string
}

// agent runs in the guest: it carries out requests, many at once, until the host
// closes the connection.
func agent(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	enc, dec := json.NewEncoder(c), json.NewDecoder(bufio.NewReader(c))
	for {
		var q request
		if dec.Decode(&q) != nil {
			return nil // the host is done
		}
		go func() {
			cmd := exec.Command("timeout", "-k", "2", fmt.Sprint(q.Limit.Seconds()), "bash", "-o", "pipefail", "-c", q.Shell)
			// A daemon that the command leaves behind may hold the pipe open.
			cmd.WaitDelay = 200 * time.Millisecond
			out, _ := cmd.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			if enc.Encode(reply{q.ID, cmd.ProcessState.ExitCode(), string(out)}) != nil {
				os.Exit(1)
			}
		}()
	}
}

// guest is the host's end of the agent.
type guest struct {
	mu   sync.Mutex
	enc  *json.Encoder
	next int
	wait map[int]chan reply // nil once the guest is gone
}

func newGuest(c net.Conn) *guest {
	g := &guest{enc: json.NewEncoder(c), wait: map[int]chan reply{}}
	go g.read(json.NewDecoder(c))
	return g
}

func (g *guest) read(dec *json.Decoder) {
	for {
		var r reply
		if dec.Decode(&r) != nil {
			break
		}
		g.mu.Lock()
		ch := g.wait[r.ID]
		delete(g.wait, r.ID)
		g.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ch := range g.wait {
		close(ch)
	}
	g.wait = nil
}

// run carries out a shell command in the guest.
func (g *guest) run(shell string, limit time.Duration) (reply, error) {
	ch := make(chan reply, 1)
	g.mu.Lock()
	if g.wait == nil {
		g.mu.Unlock()
		return reply{}, fmt.Errorf("the guest is gone")
	}
	g.next++
	id := g.next
	g.wait[id] = ch
	err := g.enc.Encode(request{id, shell, limit})
	g.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	select {
	case r, ok := <-ch:
		if !ok {
			return r, fmt.Errorf("the guest is gone")
		}
		return r, nil
	case <-time.After(limit + 10*time.Second):
		return reply{}, fmt.Errorf("the guest does not answer")
	}
}

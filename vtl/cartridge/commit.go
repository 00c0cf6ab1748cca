package cartridge

import (
	"sync"
)

// Committer makes files durable for all cartridges of a pool: who asks while it is at work is
// served by the next round, with all others that asked meanwhile. The zero value is ready.
type Committer struct {
	mu      sync.Mutex
	queue   []*request
	running bool
}

// syncer is a file, or the names of a directory. Two that are equal are one.
type syncer interface{ Sync() error }

type request struct {
	files []syncer
	done  chan error
}

// maxSyncs is how many files are synced at once: a file system commits its journal once for
// all of them.
const maxSyncs = 16

// commit returns when files are durable, or with the first error.
func (c *Committer) commit(files []syncer) error {
	r := &request{files, make(chan error, 1)}
	c.mu.Lock()
	c.queue = append(c.queue, r)
	if !c.running {
		c.running = true
		go c.run()
	}
	c.mu.Unlock()
	return <-r.done
}

// run serves rounds until nobody asks.
func (c *Committer) run() {
	for {
		c.mu.Lock()
		round := c.queue
		c.queue = nil
		if len(round) == 0 {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		result := syncAll(round)
		for _, r := range round {
			var err error
			for _, f := range r.files {
				if err == nil {
					err = *result[f]
				}
			}
			r.done <- err
		}
	}
}

// syncAll syncs each file of the requests once.
func syncAll(round []*request) map[syncer]*error {
	result := map[syncer]*error{}
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxSyncs)
	for _, r := range round {
		for _, f := range r.files {
			if result[f] != nil {
				continue
			}
			err := new(error)
			result[f] = err
			slots <- struct{}{}
			wg.Go(func() {
				*err = f.Sync()
				<-slots
			})
		}
	}
	wg.Wait()
	return result
}

// dirSyncer is the names of a directory.
type dirSyncer struct {
	fs  FS
	dir string
}

func (d dirSyncer) Sync() error { return d.fs.SyncDir(d.dir) }

package replica

import (
	"sync"
	"time"

	"qmq/raftlog"
)

const (
	// checkpointBytes is how much of the node's log may be kept for shards that
	// have no newer checkpoint.
	checkpointBytes = 256 << 20
	// checkpointPause is the least time between two checkpoints of a shard: one
	// that cannot apply would make them in vain.
	checkpointPause = 5 * time.Second
)

// Checkpoints has the shards of a node make checkpoints as the node's log grows:
// those that its oldest file is kept for. It has one goroutine.
type Checkpoints struct {
	log      *raftlog.Log
	shards   func(id uint32) *Shard
	failed   func(id uint32, err error)
	stopping chan struct{}
	running  sync.WaitGroup
}

// StartCheckpoints looks at the log once a second. shards returns nil for one
// that is not open; failed is told of one that could not make a checkpoint.
func StartCheckpoints(log *raftlog.Log, shards func(id uint32) *Shard, failed func(id uint32, err error)) *Checkpoints {
	c := &Checkpoints{log: log, shards: shards, failed: failed, stopping: make(chan struct{})}
	c.running.Go(c.run)
	return c
}

// Stop waits for a checkpoint that is under way.
func (c *Checkpoints) Stop() {
	close(c.stopping)
	c.running.Wait()
}

func (c *Checkpoints) run() {
	start := time.Now()
	due := dueShards{}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-ticker.C:
		}
		for _, id := range due.next(time.Since(start), c.log.Pinning()) {
			s := c.shards(id)
			if s == nil {
				continue
			}
			if err := s.Checkpoint(); err != nil {
				c.failed(id, err)
			}
		}
	}
}

// dueShards says when each shard made its last checkpoint.
type dueShards map[uint32]time.Duration

// next are the shards that have to make one now.
func (d dueShards) next(now time.Duration, p raftlog.Pinned) (ids []uint32) {
	if p.Bytes < checkpointBytes {
		return nil
	}
	for _, id := range p.Shards {
		if at, made := d[id]; made && now-at < checkpointPause {
			continue
		}
		d[id] = now
		ids = append(ids, id)
	}
	return ids
}

package replica

import (
	"log/slog"
	"sync"
	"time"
)

// checkpointBytes is by how much the node's log grows until its shards make
// checkpoints.
const checkpointBytes = 256 << 20

// Growth is what the node's log says of itself.
type Growth interface {
	// Written is how many bytes were ever written to it.
	Written() int64
	// Pinning lists the shards that its oldest file is kept for.
	Pinning() []uint32
}

// Checkpoints has the shards of a node make checkpoints as the node's log grows,
// first those that its oldest file is kept for. It has one goroutine.
type Checkpoints struct {
	log      Growth
	shards   func() map[uint32]*Shard
	logger   *slog.Logger
	look     time.Duration
	stopping chan struct{}
	running  sync.WaitGroup
}

// StartCheckpoints looks at the log every so often.
func StartCheckpoints(log Growth, shards func() map[uint32]*Shard, look time.Duration, logger *slog.Logger) *Checkpoints {
	c := &Checkpoints{log: log, shards: shards, logger: logger, look: look, stopping: make(chan struct{})}
	c.running.Go(c.run)
	return c
}

// Stop waits for a checkpoint that is under way.
func (c *Checkpoints) Stop() {
	close(c.stopping)
	c.running.Wait()
}

func (c *Checkpoints) run() {
	due := dueShards{}
	ticker := time.NewTicker(c.look)
	defer ticker.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-ticker.C:
		}
		shards := c.shards()
		if id, ok := due.next(c.log.Written(), c.log.Pinning(), shards); ok {
			if err := shards[id].Checkpoint(); err != nil {
				c.logger.Warn("no checkpoint of a shard", "shard", id, "error", err)
			}
		}
	}
}

// dueShards decides which shard makes a checkpoint next.
type dueShards struct {
	written map[uint32]int64 // as the log was at each one's last
}

// next is the shard whose turn it is: of those whose last checkpoint is
// checkpointBytes of log ago, one that pins the oldest file first.
func (d *dueShards) next(written int64, pinning []uint32, shards map[uint32]*Shard) (id uint32, ok bool) {
	if d.written == nil {
		d.written = make(map[uint32]int64)
	}
	for _, p := range pinning {
		if _, open := shards[p]; open && d.due(p, written) {
			d.written[p] = written
			return p, true
		}
	}
	oldest := int64(0)
	for s := range shards {
		if at := d.written[s]; d.due(s, written) && (!ok || at < oldest || at == oldest && s < id) {
			id, oldest, ok = s, at, true
		}
	}
	if ok {
		d.written[id] = written
	}
	return id, ok
}

func (d *dueShards) due(id uint32, written int64) bool {
	return written-d.written[id] >= checkpointBytes
}

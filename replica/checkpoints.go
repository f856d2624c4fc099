package replica

import (
	"sync"
	"time"

	"qmq/raftlog"
)

const (
	// checkpointBytes is how much of the node's log may be kept for shards that
	// have no newer checkpoint. It is little, so that the log's files are written over
	// while the kernel still has them in memory.
	checkpointBytes = 128 << 20
	// checkpointPause is the least time between two checkpoints of a shard. One that
	// cannot apply makes them in vain, which costs it nothing.
	checkpointPause = 500 * time.Millisecond
	// failedPause is how much longer it is after one that failed, as on a full disk.
	failedPause = 5 * time.Second
	// lookEvery is how often it is looked how much is kept.
	lookEvery = 250 * time.Millisecond
)

// Checkpoints has the shards of a node make checkpoints as the node's log grows:
// those that its oldest file is kept for. It has one goroutine.
type Checkpoints struct {
	o        CheckpointOptions
	stopping chan struct{}
	running  sync.WaitGroup
}

// CheckpointOptions are what Checkpoints need, all of it.
type CheckpointOptions struct {
	Log *raftlog.Log
	// Shards are those that take part.
	Shards func() map[uint32]*Shard
	// Connected says whether another member is: who follows in a shard keeps nothing for
	// members that are.
	Connected func(member uint64) bool
	// Failed is told of a shard that could not make a checkpoint.
	Failed func(id uint32, err error)
}

// StartCheckpoints looks at the log four times a second.
func StartCheckpoints(o CheckpointOptions) *Checkpoints {
	c := &Checkpoints{o: o, stopping: make(chan struct{})}
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
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-ticker.C:
		}
		shards := c.o.Shards()
		for _, id := range due.next(time.Since(start), c.o.Log.Pinning()) {
			s := shards[id]
			if s == nil {
				continue
			}
			if err := s.Checkpoint(); err != nil {
				c.o.Failed(id, err)
				due.failed(id)
			}
		}
		for id, s := range shards {
			c.o.Log.Everywhere(id, s.everywhere(c.o.Connected))
		}
	}
}

// everywhere is up to where all members have the entries: as their leader knows, or, to
// who follows, up to what is applied while all are connected. One that lags then gets
// what its leader has kept, or, should that end, a snapshot.
func (s *Shard) everywhere(connected func(member uint64) bool) uint64 {
	st := s.Status()
	switch {
	case st.Role == Leader:
		index := st.Commit
		for i := range st.Followers {
			index = min(index, st.Followers[i].Match)
		}
		return index
	case st.Leader == 0:
		return 0
	}
	for _, list := range [...][]uint64{st.Members.GetVoters(), st.Members.GetLearners(), st.Members.GetVotersOutgoing(), st.Members.GetLearnersNext()} {
		for _, member := range list {
			if member != s.o.Member && !connected(member) {
				return 0
			}
		}
	}
	return st.Applied
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

// failed has the next checkpoint of a shard wait for longer.
func (d dueShards) failed(id uint32) { d[id] += failedPause }

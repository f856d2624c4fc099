package cluster

import (
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
)

// A bit that has gone bad on a disk is seen when it is read, and what nobody reads may go
// bad on one member after the other. So each member reads all full segments of its
// replicated topics once a week, slowly, and what it finds is mended as if somebody had
// wanted to read it.

const (
	// scrubInterval is how long after a pass began the next one begins, at least.
	scrubInterval = 7 * 24 * time.Hour
	// scrubDelay is how long after a start the first one begins: a start has other work.
	scrubDelay = 10 * time.Minute
	// scrubTries is how often what the disk does not give now is read, scrubAgain the time
	// between: after 30 s of that it counts as damaged. The first time does not count where
	// reading the rest of the segment takes longer than that.
	scrubTries = 6
	scrubAgain = 10 * time.Second
)

// scrub is the reading of all logs. One goroutine does it.
type scrub struct {
	r    *run
	pace pace

	bytes, segments, lost atomic.Uint64 // since this part in the set began
	ended                 atomic.Int64  // when the last pass ended, s since 1970; 0: none did yet
}

// ScrubStatus is how far the logs of replicated topics are read for damage.
type ScrubStatus struct {
	Segments uint64 `json:"segments"` // that were read since the member began to take part
	Bytes    uint64 `json:"bytes"`
	Lost     uint64 `json:"lost"`  // messages in them that were found to be damaged
	Ended    int64  `json:"ended"` // when all were read last, s since 1970; 0: not yet
}

func (c *scrub) status() ScrubStatus {
	return ScrubStatus{Segments: c.segments.Load(), Bytes: c.bytes.Load(), Lost: c.lost.Load(), Ended: c.ended.Load()}
}

// run reads everything again and again.
func (c *scrub) run() {
	for wait := scrubDelay; c.sleep(wait); {
		began := time.Now()
		if c.pass() != nil {
			return
		}
		wait = max(scrubDelay, scrubInterval-time.Since(began))
	}
}

// sleep returns false when the member's part ends.
func (c *scrub) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.ctx.Done():
		return false
	}
}

// toScrub is a segment that is to be read.
type toScrub struct {
	log *diskqueue.Log
	diskqueue.Verifiable
}

// pass reads all segments there are, in any order, so that those who start often come to
// all of them too; those that were just read by somebody come last. The error is that the
// member's part ends.
func (c *scrub) pass() error {
	began, before := time.Now(), c.status()
	c.settle()
	var list, last []toScrub
	for _, m := range c.r.machines[1:] {
		for _, log := range m.Logs() {
			for _, v := range log.Verifiable() {
				if v.Read {
					last = append(last, toScrub{log, v})
				} else {
					list = append(list, toScrub{log, v})
				}
			}
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, s := range append(list, last...) {
		if err := c.segment(s); err != nil {
			return err
		}
	}
	c.missing()
	c.ended.Store(time.Now().Unix())
	if now := c.status(); now.Segments > before.Segments {
		c.r.s.o.Logger.Info("the logs of replicated topics were read for damage", slog.Uint64("segments", now.Segments-before.Segments),
			slog.Uint64("bytes", now.Bytes-before.Bytes), slog.Uint64("damaged", now.Lost-before.Lost), slog.Duration("took", time.Since(began)))
	}
	return nil
}

// settle has all full segments on the disk: one of a shard in which nothing happens may
// wait for its checkpoint for long.
func (c *scrub) settle() {
	for n := uint32(1); n <= Shards; n++ {
		if s := c.r.shards[n].Load(); s != nil {
			if err := s.Checkpoint(); err != nil {
				c.r.noCheckpoint(n, err)
			}
		}
	}
}

// segment reads a segment. What goes wrong is told by the log, or another time.
func (c *scrub) segment(s toScrub) error {
	pending := []seqset.Range{s.Numbers}
	for try := 0; try < scrubTries && len(pending) > 0; try++ {
		if try > 0 && !c.sleep(scrubAgain) {
			break
		}
		var again []seqset.Range
		for _, numbers := range pending {
			lost, unread, _ := s.log.Verify(numbers, func(bytes int) error {
				c.bytes.Add(uint64(bytes))
				return c.pace.wait(c.r.ctx, bytes)
			})
			c.lost.Add(lost)
			again = append(again, unread...)
		}
		pending = again
	}
	c.segments.Add(1)
	return c.r.ctx.Err()
}

// missing has what no segment holds told, of the shards that have applied all they can: a
// shard in which nothing happens writes no checkpoint, which would tell.
func (c *scrub) missing() {
	for n := uint32(1); n <= Shards; n++ {
		if s := c.r.shards[n].Load(); s != nil {
			if st := s.Status(); st.Leader != 0 && st.Applied == st.Commit && !st.Held {
				c.r.machines[n].TellMissing()
			}
		}
	}
}

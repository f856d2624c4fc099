package cluster

import (
	"sync/atomic"

	"qmq/internal/histogram"
	"qmq/replica/machine"
)

// counts is what a member counts of its part in sets, from its start on.
type counts struct {
	saves  histogram.Histogram // of the node's log
	sent   [sentKinds]atomic.Uint64
	shards [Shards + 1]shardCounts
}

type shardCounts struct{ elections, changes, repeated, snapshots atomic.Uint64 }

// sentKind is what bytes are that are sent to other members.
type sentKind int

const (
	sentLog        sentKind = iota // entries of the shards' logs, votes, heartbeats
	sentPublishes                  // that were taken here and go to the leader
	sentDeliveries                 // to consumers elsewhere, and the answers of those that are here
	sentSnapshots
	sentKinds
)

var sentNames = [sentKinds]string{"log", "publishes", "deliveries", "snapshots"}

// Counts is what a member has counted since it was started.
type Counts struct {
	// Saves are the writes to the node's log, with their syncs where there are any.
	Saves *histogram.Histogram
	// Sent is bytes that were queued for other members, by what they are: log, publishes,
	// deliveries, snapshots.
	Sent   map[string]uint64
	Shards []ShardCounts // by number
	Giving []Giving      // snapshots that other members fetch now
	Scrub  ScrubStatus
	// Mended is how many messages that were lost here were fetched from other members, Unobtainable
	// how many none of them gave when they were asked last.
	Mended, Unobtainable uint64
}

// ShardCounts are those of a shard.
type ShardCounts struct {
	Shard uint32
	// Elections is how often this member began to lead it, Changes how often another
	// leader was heard of.
	Elections, Changes uint64
	Repeated           uint64 // parts of publishes that came twice and counted once
	Snapshots          uint64 // that this member has taken
}

// Giving is a snapshot that another member fetches.
type Giving struct {
	Shard uint32
	To    string // address
	Bytes int64  // that it has so far
}

// Counts tells what was counted. It may be called concurrently.
func (s *Set) Counts() Counts {
	c := Counts{Saves: &s.counts.saves, Sent: make(map[string]uint64, sentKinds)}
	for kind, name := range sentNames {
		c.Sent[name] = s.counts.sent[kind].Load()
	}
	for n := range s.counts.shards {
		of := &s.counts.shards[n]
		c.Shards = append(c.Shards, ShardCounts{uint32(n), of.elections.Load(), of.changes.Load(), of.repeated.Load(), of.snapshots.Load()})
	}
	if r := s.run.Load(); r != nil {
		c.Scrub, c.Mended, c.Unobtainable = r.scrub.status(), r.mender.mended.Load(), r.mender.waits.Load()
		for of, bytes := range r.offers.given() {
			c.Giving = append(c.Giving, Giving{of.shard, s.addressOf(of.member), bytes})
		}
	}
	return c
}

// count notes that a frame was queued.
func (c *counts) count(kind sentKind, queued bool, pieces ...[]byte) {
	if !queued {
		return
	}
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	c.sent[kind].Add(uint64(n))
}

// applied notes what was applied.
func (c *shardCounts) applied(o *machine.Outcome) {
	n := uint64(0)
	for i := range o.Parts {
		if o.Parts[i].Status == machine.Duplicate {
			n++
		}
	}
	if n > 0 {
		c.repeated.Add(n)
	}
}

package cluster

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// seeToRoom is how often it is looked whether there is room on the disk, tidyEvery how
	// often segments of topics are given up that nobody owes anything of, and refillAfter
	// how long after the disk was full the reserve is made again, if there is room.
	seeToRoom   = 100 * time.Millisecond
	tidyEvery   = time.Minute
	refillAfter = 5 * time.Second
	// compactEvery is how often, while there is little room, checkpoints are made that let
	// files of the node's log go.
	compactEvery = 2 * time.Second
)

// errFull is what is told to who publishes while the disks of a majority are full.
var errFull = errors.New("the disks of a majority of the set are full: nothing is published until there is room")

// room sees to it that what is agreed on can be applied on a full disk, and so messages
// be finished, which makes room: what can be given up is, and publishes are refused while
// the disks of a majority are full.
type room struct {
	r   *run
	low atomic.Bool // the reserve is given up
}

// run is a goroutine's.
func (m *room) run() {
	ticker := time.NewTicker(seeToRoom)
	defer ticker.Stop()
	var full, tidied, compacted time.Duration
	for {
		now := m.r.now()
		switch {
		case m.relieve():
			full = now
		case full == 0 || now-full >= refillAfter:
			full = now
			m.refill()
		}
		if m.low.Load() && now-compacted >= compactEvery {
			compacted = now
			m.compact()
		}
		if now-tidied >= tidyEvery {
			tidied = now
			m.tidy()
		}
		m.r.node.Refuse(m.refusal())
		select {
		case <-m.r.ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// relieve makes room if something waits for it.
func (m *room) relieve() (full bool) {
	full = m.r.logFull.Load()
	for n, s := range m.r.opened() {
		if _, err := s.Stalled(); !noRoom(err) {
			continue
		}
		full = true
		if n > 0 {
			m.r.machines[n].Reclaim()
		}
	}
	if full {
		if m.r.s.reserve.give() {
			m.r.s.o.Logger.Warn("the disk is full: the reserve is given up, to apply what is agreed on")
		}
		m.low.Store(true)
	}
	return full
}

// refill makes the reserve, when nothing has waited for room for a while.
func (m *room) refill() {
	if m.low.Load() {
		m.tidy()
	}
	err := m.r.s.reserve.keep()
	switch low := err != nil; {
	case low == m.low.Swap(low):
	case low:
		m.r.s.o.Logger.Warn("there is no room for the reserve for a full disk", slog.Any("error", err))
	default:
		m.r.s.o.Logger.Info("there is room on the disk again")
	}
}

// compact lets all files of the node's log go that checkpoints make superfluous.
func (m *room) compact() {
	for _, n := range m.r.log.Pinning().Shards {
		if s := m.r.shard(n); s != nil {
			if err := s.Checkpoint(); err != nil {
				m.r.noCheckpoint(n, err)
			}
		}
	}
	m.r.log.Shed()
}

// tidy gives up segments that nobody owes anything of.
func (m *room) tidy() {
	for _, machine := range m.r.machines[1:] {
		machine.Reclaim()
	}
}

// refusal is why nothing may be published, nil if it may: what is agreed on must find
// room with a majority.
func (m *room) refusal() error {
	g := m.r.s.registry.Load()
	if g == nil {
		return nil
	}
	voters, full := 0, 0
	for _, member := range g.Members {
		if member.Joining {
			continue
		}
		voters++
		disk, _ := m.r.watch.diskOf(uint64(member.ID))
		if disk.Low || uint64(member.ID) == m.r.member && m.low.Load() {
			full++
		}
	}
	if voters > 0 && full > voters/2 {
		return errFull
	}
	return nil
}

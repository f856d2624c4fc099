package cluster

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"qmq/internal/vfs"
)

const (
	// seeToRoom is how often it is looked whether there is room on the disk, tidyEvery how
	// often segments of topics are given up that nobody owes anything of, and refillAfter
	// how long after the disk was full the reserve is made again, if there may be room; where
	// there is known to be, that is at once.
	seeToRoom   = 100 * time.Millisecond
	tidyEvery   = time.Minute
	refillAfter = 5 * time.Second
	// compactEvery is how often, while there is little room, all is given up that can be.
	compactEvery = 2 * time.Second
	// scarceFor is how long what a member told of little room counts.
	scarceFor = 10 * time.Second
	// There is little room on a disk when less than lowBytes, or less than one part in
	// lowShare, is free beside the reserve: a file of the node's log and what is published
	// until all members have heard of it find room in that. It has to be an eighth more
	// until there is enough again.
	lowBytes, lowShare = 256 << 20, 10
)

// errFull is what is told to who publishes while the disks of a majority are full, or
// nearly.
var errFull = errors.New("the disks of a majority of the set are full: nothing is published until there is room")

// room sees to it that what is agreed on can be applied on a full disk, and so messages
// be finished, which makes room: what can be given up is, and publishes are refused while
// the disks of a majority are full.
type room struct {
	r    *run
	full bool        // the reserve is given up; the goroutine's
	low  atomic.Bool // that, or there is little room beside it
}

// scarce says that there is little room on this node's disk, for the set or for what the
// node keeps free for itself: what is only retained is given up.
func (m *room) scarce() bool {
	return m.low.Load() || m.r.s.h.SpaceShort != nil && m.r.s.h.SpaceShort()
}

// anyScarce says that scarce is so of a member.
func (m *room) anyScarce() bool {
	g := m.r.s.registry.Load()
	if g == nil || m.scarce() {
		return g != nil
	}
	for _, member := range g.Members {
		disk, ok := m.r.watch.diskOf(uint64(member.ID))
		if ok && (disk.Scarce || disk.Low) && m.r.now()-disk.Told < scarceFor {
			return true
		}
	}
	return false
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
		case full == 0 || now-full >= refillAfter || m.full && m.enough():
			full = now
			m.refill()
		}
		m.judge()
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
		m.full = true
	}
	return full
}

// refill makes the reserve, when nothing has waited for room for a while.
func (m *room) refill() {
	err := m.r.s.reserve.keep()
	if full := err != nil; full != m.full {
		m.full = full
		if full {
			m.r.s.o.Logger.Warn("there is no room for the reserve for a full disk", slog.Any("error", err))
		}
	}
}

// judge decides whether there is little room.
func (m *room) judge() {
	was := m.low.Load()
	low := m.full || m.little(was)
	if m.low.Store(low); low == was {
		return
	}
	if low {
		m.r.s.o.Logger.Warn("there is little room on the disk: nothing is published to the set while that is so for a majority of its members")
	} else {
		m.r.s.o.Logger.Info("there is room on the disk again")
	}
}

// little tells whether there is little room beside the reserve, as far as that is known.
func (m *room) little(was bool) bool {
	if m.r.s.o.Space == nil {
		return false
	}
	s, err := m.r.s.o.Space()
	if err != nil {
		return was
	}
	wanted := freeOf(s)
	if was {
		wanted += wanted / 8
	}
	return s.Free < wanted
}

// freeOf is how much is to be free of a file system.
func freeOf(s vfs.Space) int64 { return min(lowBytes, (s.Free+s.Used)/lowShare) }

// enough tells whether there is known to be room for the reserve and what is to be free
// beside it.
func (m *room) enough() bool {
	if m.r.s.o.Space == nil {
		return false
	}
	s, err := m.r.s.o.Space()
	return err == nil && s.Free >= m.r.s.reserveBytes()+freeOf(s)+freeOf(s)/8
}

// compact lets all files go that nobody needs: segments of topics, those of them that are
// kept to be written to again, and what checkpoints make superfluous of the node's log.
func (m *room) compact() {
	m.tidy()
	m.r.s.h.Disk.DropSpare()
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

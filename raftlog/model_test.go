package raftlog

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"qmq/internal/vfs/crashfs"
)

// machine drives a log and raft's own storage in memory with the same operations.
type machine struct {
	t       *rapid.T
	fsys    *crashfs.FS
	o       Options
	log     *Log
	models  map[uint32]*raft.MemoryStorage
	allowed map[uint32]uint64
	term    uint64
	queued  int
}

// TestShardsAreLikeRaftsOwnStorage, with updates in groups, truncation,
// snapshots, compaction, closing, kills and losses of power.
func TestShardsAreLikeRaftsOwnStorage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{t: t, models: make(map[uint32]*raft.MemoryStorage), allowed: make(map[uint32]uint64), term: 1}
		m.fsys = newDisk(t, rapid.Uint64().Draw(t, "seed"))
		m.o = options(m.fsys.Mount())
		m.o.NoSync = rapid.Bool().Draw(t, "nosync")
		m.o.Retain = rapid.SampledFrom([]int64{1, 3 * minSegment}).Draw(t, "retain")
		m.o.CacheBytes = rapid.SampledFrom([]int64{1, 1000, 1 << 20}).Draw(t, "cache")
		for id := range uint32(3) {
			m.models[id] = raft.NewMemoryStorage()
			must(t, m.models[id].SetHardState(hard(0, 0, 0)))
		}
		m.log, _ = mustOpen(t, m.o)
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append more": m.append, "replace": m.replace, "vote": m.vote, "restart": m.restart,
			"compact": m.compact, "reopen": m.reopen, "": m.check,
		})
		m.flush()
		must(t, m.log.Close())
	})
}

func (m *machine) shard() uint32 { return rapid.Uint32Range(0, 2).Draw(m.t, "shard") }

func (m *machine) last(id uint32) uint64 {
	last, _ := m.models[id].LastIndex()
	return last
}

func (m *machine) save(u *Update) {
	model := m.models[u.Shard]
	if u.Snapshot != nil {
		must(m.t, model.ApplySnapshot(&raftpb.Snapshot{Metadata: u.Snapshot}))
		m.allowed[u.Shard] = u.Snapshot.GetIndex()
	}
	must(m.t, model.Append(u.Entries))
	if u.HardState != nil {
		must(m.t, model.SetHardState(u.HardState))
	}
	m.queued++
	u.Done = func(err error) {
		if m.queued--; err != nil {
			m.t.Fatalf("Done got %v", err)
		}
	}
	m.log.Save(u)
	if rapid.Bool().Draw(m.t, "flush") {
		m.flush()
	}
}

func (m *machine) flush() {
	if m.log.Flush(); m.queued != 0 {
		m.t.Fatalf("%d updates were not told", m.queued)
	}
}

func (m *machine) new(from uint64) []*raftpb.Entry {
	list := entries(from, m.term, rapid.IntRange(1, 4).Draw(m.t, "entries"), rapid.IntRange(0, 600).Draw(m.t, "size"))
	list[0].Type = rapid.SampledFrom([]*raftpb.EntryType{nil, raftpb.EntryConfChangeV2.Enum()}).Draw(m.t, "type")
	return list
}

func (m *machine) append(*rapid.T) {
	id := m.shard()
	was, _, _ := m.models[id].InitialState()
	vote := uint64(1)
	if was.GetTerm() == m.term && was.GetVote() != 0 {
		vote = was.GetVote()
	}
	m.save(&Update{Shard: id, Entries: m.new(m.last(id) + 1), HardState: hard(m.term, vote, m.allowed[id])})
}

func (m *machine) replace(*rapid.T) {
	id := m.shard()
	m.term++
	from := rapid.Uint64Range(m.allowed[id]+1, m.last(id)+1).Draw(m.t, "from")
	m.save(&Update{Shard: id, Entries: m.new(from)})
}

func (m *machine) vote(*rapid.T) {
	m.term++
	m.save(&Update{Shard: m.shard(), HardState: hard(m.term, rapid.Uint64Range(0, 3).Draw(m.t, "vote"), 0)})
}

func (m *machine) restart(*rapid.T) {
	id := m.shard()
	at := m.last(id) + rapid.Uint64Range(1, 9).Draw(m.t, "ahead")
	members := &raftpb.ConfState{Voters: []uint64{1, at}, Learners: []uint64{7}, AutoLeave: new(true)}
	m.save(&Update{Shard: id, Snapshot: &raftpb.SnapshotMetadata{Index: new(at), Term: new(m.term), ConfState: members}})
}

func (m *machine) compact(*rapid.T) {
	m.flush()
	id := m.shard()
	m.allowed[id] = rapid.Uint64Range(m.allowed[id], m.last(id)).Draw(m.t, "index")
	m.log.Compact(id, m.allowed[id])
}

func (m *machine) reopen(*rapid.T) {
	m.flush()
	firsts := m.firsts()
	how := rapid.SampledFrom([]string{"close", "kill", "power"}).Draw(m.t, "how")
	if how == "close" || how == "power" && m.o.NoSync {
		must(m.t, m.log.Close())
	}
	if how == "power" {
		m.fsys.Crash(crashfs.Random)
		m.o.Boot += "'"
	} else {
		m.fsys.Kill()
	}
	m.o.FS = m.fsys.Mount()
	var r *Recovered
	m.log, r = mustOpen(m.t, m.o)
	if r.Forgetful() || r.Torn != nil {
		m.t.Fatalf("after %s: %+v", how, r)
	}
	for id, now := range m.firsts() { // entries that replaced others may be seen again
		if now > firsts[id] {
			m.t.Fatalf("after %s the log of shard %d begins at %d, before at %d", how, id, now, firsts[id])
		}
	}
}

func (m *machine) firsts() (f [3]uint64) {
	for id := range f {
		f[id], _ = m.log.Shard(uint32(id)).FirstIndex()
	}
	return f
}

func (m *machine) check(*rapid.T) {
	if m.queued > 0 {
		return
	}
	for id := range uint32(len(m.models)) {
		model, s := m.models[id], m.log.Shard(id)
		first, last := bounds(s)
		if want := m.last(id); last != want || first > m.allowed[id]+1 {
			m.t.Fatalf("shard %d has entries from %d to %d, want up to %d, and from %d on at least", id, first, last, want, m.allowed[id]+1)
		}
		got, gotMembers, _ := s.InitialState()
		want, wantMembers, _ := model.InitialState()
		if g, w := hardStateOf(got), hardStateOf(want); g.term != w.term || g.vote != w.vote || g.commit > w.commit {
			m.t.Fatalf("shard %d: hard state %v, want %v", id, g, w)
		}
		if err := gotMembers.Equivalent(wantMembers); err != nil {
			m.t.Fatalf("shard %d: %v", id, err)
		}
		m.compareReads(s, model, first, last)
	}
}

func (m *machine) compareReads(s *Shard, model *raft.MemoryStorage, first, last uint64) {
	for i := uint64(0); i <= last+2; i++ {
		got, err := s.Term(i)
		want, wantErr := model.Term(i)
		if i+1 < first {
			want, wantErr = 0, raft.ErrCompacted
		}
		if got != want || !errors.Is(err, wantErr) {
			m.t.Fatalf("shard %d: term of %d is %d, %v, want %d, %v", s.id, i, got, err, want, wantErr)
		}
	}
	if _, err := s.Entries(first-1, last+1, 1); !errors.Is(err, raft.ErrCompacted) {
		m.t.Fatalf("before the first: %v", err)
	}
	if _, err := s.Entries(last+1, last+2, 1); !errors.Is(err, raft.ErrUnavailable) {
		m.t.Fatalf("behind the last: %v", err)
	}
	if first > last {
		return
	}
	lo := rapid.Uint64Range(first, last).Draw(m.t, "lo")
	hi := rapid.Uint64Range(lo+1, last+1).Draw(m.t, "hi")
	size := rapid.SampledFrom([]uint64{0, 1, 500, 3000, math.MaxUint64}).Draw(m.t, "maxSize")
	got, err := s.Entries(lo, hi, size)
	must(m.t, err)
	want, err := model.Entries(lo, hi, size)
	must(m.t, err)
	wantEntries(m.t, fmt.Sprintf("shard %d from %d to %d, %d bytes", s.id, lo, hi, size), got, want)
}

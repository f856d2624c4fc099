package raftlog

import (
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs/crashfs"
)

// replica is what a shard should be.
type replica struct {
	base    position
	entries []*raftpb.Entry
	hard    hardState
}

func (m *replica) apply(u *Update) {
	if s := u.Snapshot; s != nil {
		m.base, m.entries = position{s.GetIndex(), s.GetTerm()}, nil
	}
	for _, e := range u.Entries {
		m.entries = append(m.entries[:e.GetIndex()-m.base.index-1:e.GetIndex()-m.base.index-1], e)
	}
	if h := hardStateOf(u.HardState); h != (hardState{}) {
		m.hard = h
	}
}

func (m *replica) last() uint64 { return m.base.index + uint64(len(m.entries)) }

// history is what a test did with a log over several lives of its process.
type history struct {
	updates []*Update // in the order in which they were saved
	acked   int       // so many are promised
	allowed map[uint32]uint64
	shards  map[uint32]*replica // after all updates
	term    uint64
}

func newHistory() *history {
	return &history{allowed: make(map[uint32]uint64), shards: make(map[uint32]*replica), term: 1}
}

func (h *history) shard(id uint32) *replica {
	if h.shards[id] == nil {
		h.shards[id] = new(replica)
	}
	return h.shards[id]
}

// save queues an update.
func (h *history) save(t tester, l *Log, u *Update, fails *error) {
	h.updates = append(h.updates, u)
	h.shard(u.Shard).apply(u)
	n := len(h.updates)
	u.Done = func(err error) {
		switch {
		case err != nil:
			*fails = err
		case *fails != nil:
			t.Errorf("update %d was acknowledged behind one that failed: %v", n, *fails)
		default:
			h.acked = n
		}
	}
	l.Save(u)
}

// script uses a log in all ways until something fails.
func (h *history) script(t tester, l *Log) error {
	var failed error
	for step := range 36 {
		id := uint32(step % 3)
		m := h.shard(id)
		u := &Update{Shard: id, Entries: entries(m.last()+1, h.term, step%4, 120+step*31%700)}
		switch step % 12 {
		case 3: // a new leader takes some back
			h.term++
			from := max(m.last(), h.allowed[id]+3, m.base.index+3) - 2
			if from <= m.last() {
				u.Entries = entries(from, h.term, 2, 50)
			}
			u.HardState = hard(h.term, uint64(step)+1, h.allowed[id])
		case 5: // a vote
			h.term++
			u.Entries, u.HardState = nil, hard(h.term, 2, m.hard.commit)
		case 7: // a commit alone
			u.Entries, u.HardState = nil, hard(max(m.hard.term, 1), m.hard.vote, m.last())
		case 10: // a snapshot
			at := m.last() + 5
			u.Snapshot = &raftpb.SnapshotMetadata{Index: new(at), Term: new(h.term), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}
			u.Entries = entries(at+1, h.term, 2, 10)
			h.allowed[id] = at
		}
		h.save(t, l, u, &failed)
		if step%3 == 1 {
			continue // the next one is written with it
		}
		if l.Flush(); failed != nil {
			return failed
		}
		if id := uint32(step) % 2 * 2; step%6 > 1 {
			to := max(h.shard(id).last(), 2) - 2
			h.allowed[id] = max(h.allowed[id], to)
			l.Everywhere(id, to)
			l.Compact(id, to)
		}
	}
	return nil
}

// check compares a log with the history: it must be as after so many of the
// updates, those that were promised included. Others that were saved may be in it.
func (h *history) check(t tester, l *Log, acked int) {
	t.Helper()
	var why string
	for k := len(h.updates); k >= acked; k-- {
		if why = h.differs(t, l, k); why == "" {
			h.forgetBehind(k)
			return
		}
	}
	t.Errorf("of %d updates %d were promised; the log is after none of them, nor after those: %s", len(h.updates), acked, why)
}

// differs says what of the log is not as after the first k updates.
func (h *history) differs(t tester, l *Log, k int) string {
	t.Helper()
	model := make(map[uint32]*replica)
	for id := range h.shards {
		model[id] = new(replica)
	}
	for _, u := range h.updates[:k] {
		model[u.Shard].apply(u)
	}
	for id, m := range model {
		s := l.Shard(id)
		first, last := bounds(s)
		got := hardOf(s)
		switch {
		case last != m.last():
			return fmt.Sprintf("shard %d ends at %d, want %d", id, last, m.last())
		case got.term != m.hard.term || got.vote != m.hard.vote || got.commit > m.hard.commit:
			return fmt.Sprintf("shard %d has %+v, want %+v", id, got, m.hard)
		case first <= m.base.index:
			return fmt.Sprintf("shard %d begins at %d, want %d", id, first, m.base.index+1)
		case first > max(h.allowed[id], m.base.index)+1:
			return fmt.Sprintf("shard %d begins at %d, not needed is what is up to %d", id, first, h.allowed[id])
		}
		want := m.entries[first-m.base.index-1:]
		if list := all(t, s); !slices.EqualFunc(list, want, sameEntry) {
			return fmt.Sprintf("shard %d has %s, want %s", id, show(list), show(want))
		}
		before, err := s.Term(first - 1)
		must(t, err)
		if wantTerm := m.termOf(first - 1); before != wantTerm {
			return fmt.Sprintf("shard %d has term %d before its first entry %d, want %d", id, before, first, wantTerm)
		}
	}
	return ""
}

func (m *replica) termOf(index uint64) uint64 {
	if index == m.base.index {
		return m.base.term
	}
	return m.entries[index-m.base.index-1].GetTerm()
}

// forgetBehind makes the first k updates all that ever were.
func (h *history) forgetBehind(k int) {
	h.updates = h.updates[:k]
	h.acked = k
	for id := range h.shards {
		h.shards[id] = new(replica)
	}
	for _, u := range h.updates {
		h.shards[u.Shard].apply(u)
	}
}

type ending struct {
	name  string
	seed  uint64
	end   func(*crashfs.FS)
	power bool
}

func endings() []ending {
	list := []ending{
		{"kill", 1, (*crashfs.FS).Kill, false},
		{"power lost, nothing unsynced kept", 1, func(fs *crashfs.FS) { fs.Crash(crashfs.DropAll) }, true},
	}
	for seed := range uint64(4) {
		list = append(list, ending{fmt.Sprintf("power lost, chance %d", seed), seed, func(fs *crashfs.FS) { fs.Crash(crashfs.Random) }, true})
	}
	return list
}

// A life that ends unclean, one that ends at each operation in turn, the
// recovery included, and one that looks at what is left.
func TestNothingAcknowledgedIsLostWhereverItStops(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		for _, e := range endings() {
			t.Run(fmt.Sprintf("nosync=%v/%s", noSync, e.name), func(t *testing.T) {
				for at, more := 1, true; more && !t.Failed(); at++ {
					more = stopAt(t, e, noSync, at)
				}
			})
		}
	}
}

// stopAt stops the second life at its operation number at. It returns false
// when there are not so many.
func stopAt(t *testing.T, e ending, noSync bool, at int) bool {
	fsys := newDisk(t, e.seed*100_000+uint64(at))
	h := newHistory()
	boots := 0
	life := func() Options {
		o := options(fsys.Mount())
		o.NoSync = noSync
		o.Boot = fmt.Sprint(boots)
		if at%2 == 0 { // files are used again because all have what is in them
			o.Retain = 1 << 30
		}
		return o
	}
	end := func() {
		e.end(fsys)
		if e.power {
			boots++
		}
	}
	l, _ := mustOpen(t, life())
	must(t, h.script(t, l))
	end()

	ops, stopped := 0, false
	fsys.Fail(func(crashfs.Op, string) error {
		if ops++; ops == at {
			stopped = true
			end()
		}
		return nil
	})
	l, r, err := Open(life())
	forgetful := err == nil && r.Forgetful()
	if err == nil && !forgetful {
		acked := h.acked
		fsys.Fail(nil)
		h.check(t, l, acked)
		fsys.Fail(func(crashfs.Op, string) error {
			if ops++; ops == at {
				stopped = true
				end()
			}
			return nil
		})
		if err = h.script(t, l); err == nil {
			err = l.Close()
		}
	}
	if err != nil && !stopped {
		t.Fatalf("second life: %v", err)
	}
	fsys.Fail(nil)
	if forgetful && !(noSync && e.power) {
		t.Fatalf("second life: %+v", r)
	}
	if !stopped {
		end()
	}
	l, r = mustOpen(t, life())
	switch {
	case r.Forgetful() && !(noSync && e.power):
		t.Errorf("third life: %+v", r)
	case forgetful && !r.Forgetful():
		t.Error("a forgetful log is trusted again")
	case !r.Forgetful():
		h.check(t, l, h.acked)
	case len(r.Damaged) == 0 && !forgetful:
		h.check(t, l, 0) // what is left is of one moment
	}
	must(t, l.Close())
	if t.Failed() {
		t.Logf("stopped at operation %d of the second life", at)
	}
	return stopped
}

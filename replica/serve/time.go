package serve

import (
	"time"

	"qmq/replica/entry"
	"qmq/settings"
)

// timeline is a shard's time as one node sees it: it is what an entry said last, and goes on
// with the steady clock of the node from when that was applied. So whoever leads next goes on
// where the last leader was, whatever its wall clock says, and however fast its steady one
// goes. Time in which no node of the set was up does not count.
type timeline struct {
	said int64 // by an entry; 0: none did
	at   int64 // when it was applied, steady ns
}

// now is the shard's time at a steady one. Before it has begun it is as the wall clock was
// when the node began.
func (t *timeline) now(steady int64) int64 {
	if t.said == 0 {
		return steady
	}
	return t.said + steady - t.at
}

// follow notes what an entry says that is applied: the leader's time counts, also where this
// node's is ahead of it by now.
func (t *timeline) follow(said, steady int64) {
	if said != 0 {
		t.said, t.at = said, steady
	}
}

// reach is follow for who leads: an entry of its own that took long tells nothing new.
func (t *timeline) reach(said, steady int64) {
	if t.said == 0 || said > t.now(steady) {
		t.follow(said, steady)
	}
}

// reached notes how far an entry says that the shard's time has come.
func (s *Shard) reached(said int64) {
	now := s.n.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving != nil {
		s.time.reach(said, now)
	} else {
		s.time.follow(said, now)
	}
}

// atLeast notes, as this node begins to lead, that no less of the shard's time has passed than
// all entries say.
func (s *Shard) atLeast(said int64) {
	now := s.n.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time.reach(said, now)
}

// timeNow is the shard's time, as far as this node knows.
func (s *Shard) timeNow() int64 {
	now := s.n.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time.now(now)
}

// timed is the shard's time for an entry; 0 while some nodes do not know of it.
func (s *Shard) timed() int64 {
	if timeable := s.n.o.Timeable; timeable != nil && !timeable() {
		return 0
	}
	return s.timeNow()
}

// timeEvery is how often the time of a shard is said at least while ids count in it: a node
// that starts knows no more of it than entries say, and may lead next.
const timeEvery = time.Minute

// sayTimeLater has the time be said in a while, in an entry of its own: nobody can tell
// whether another will come.
func (v *Serving) sayTimeLater() {
	v.mu.Lock()
	saying := v.saying
	v.saying = true
	v.mu.Unlock()
	if !saying {
		v.after(timeEvery, v.sayTime)
	}
}

// sayTime says the time, if ids count. Any entry that says it has it be said again.
func (v *Serving) sayTime() {
	v.mu.Lock()
	v.saying = false
	v.mu.Unlock()
	if now := v.shard.timed(); now != 0 && v.counting(now) {
		v.proposeEntry(&entry.Entry{Time: now}, func(err error) {
			if err != nil {
				v.sayTimeLater()
			}
		})
	}
}

// counting says whether an id of some topic counts at a time.
func (v *Serving) counting(now int64) bool {
	m := v.shard.machine
	for name, id := range m.Topics() {
		if d := m.Doubles(id); d.IDs > 0 {
			set, _ := settings.ParseTopic(m.Settings(id)) // what it does not know is told where it is served
			if now-d.Newest < int64(v.common.ReplicaSettings(name, set).Effective().DedupWindow) {
				return true
			}
		}
	}
	return false
}

package replica

import (
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// postponedFor is how long what is agreed on waits to be told with the next entry, at most:
// a leader does not make that before it has applied the last one, nor maybe at once then.
const postponedFor = 3 * time.Millisecond

// postponed is the messages of a leader that tell a follower nothing but how far is agreed
// on, where nobody but the leader waits for those entries. They wait for one that tells it
// too, for a message of its own takes each side as many hand-overs as an entry. A tick ends
// the wait, and so does postponedFor.
type postponed struct {
	messages map[uint64]*pb.Message // the last of each, by who gets it
	awaited  uint64                 // index of the newest entry for which others may wait
	told     map[uint64]uint64      // up to where each was told that it is agreed on
}

func newPostponed() postponed {
	return postponed{messages: make(map[uint64]*pb.Message), told: make(map[uint64]uint64)}
}

// clear forgets what was told, and what was to be: another one leads, or in another term.
func (p *postponed) clear() {
	clear(p.messages)
	clear(p.told)
}

// noteAwaited looks for whom entries are that come into the log.
func (c *core) noteAwaited(entries []*pb.Entry) {
	for _, e := range entries {
		own := slices.ContainsFunc(c.proposals.proposed, func(p *proposal) bool {
			return p.own && p.index == e.GetIndex() && p.term == e.GetTerm()
		})
		if !own {
			c.commits.awaited = e.GetIndex()
		}
	}
}

// take tells whether it has a message wait. What waits for who gets another one is in that.
func (p *postponed) take(m *pb.Message) bool {
	if m.GetType() != pb.MsgApp {
		return false
	}
	if to := m.GetTo(); len(m.GetEntries()) > 0 || p.told[to] < p.awaited {
		p.told[to] = max(p.told[to], m.GetCommit())
		delete(p.messages, to)
		return false
	}
	p.messages[m.GetTo()] = m
	return true
}

// tellPostponed sends what waits.
func (c *core) tellPostponed() {
	for _, to := range slices.Sorted(maps.Keys(c.commits.messages)) {
		m := c.commits.messages[to]
		c.commits.told[to] = max(c.commits.told[to], m.GetCommit())
		c.out.messages = append(c.out.messages, m)
	}
	clear(c.commits.messages)
}

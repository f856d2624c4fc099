package cluster

import (
	"slices"
	"sync"
	"time"

	"qmq/cluster/link"
	"qmq/replica"
)

// Status is a member's view of its set, of a moment ago, as JSON shows it. Members and
// sets are named by 16 hex digits, and members by their addresses too.
type Status struct {
	State   string `json:"state"`             // one of the words below
	Waiting string `json:"waiting,omitempty"` // for whom, with StateWaiting
	Failure string `json:"failure,omitempty"` // with StateFailed and StateCutOff

	Cluster string `json:"cluster,omitempty"`
	Number  int    `json:"number"` // of the set, in ids of messages
	Member  string `json:"member"`
	Address string `json:"address"`
	Epoch   uint64 `json:"epoch"` // of this start of the member
	Version string `json:"version"`
	Level   uint32 `json:"level"` // of features that are in use; 0 while that is not known

	Patterns []string       `json:"patterns,omitempty"` // of replicated topics; none: all
	Local    []string       `json:"local,omitempty"`    // topics that stay local nevertheless
	Both     []string       `json:"both,omitempty"`     // topics that are replicated, and local too, as this member has it
	Moving   []MovingStatus `json:"moving,omitempty"`   // topics that this member moves into replicated ones
	Expected []string       `json:"expected,omitempty"` // addresses that somebody may join at
	Begun    *BegunStatus   `json:"begun,omitempty"`    // how the set began, if not with nothing
	Forced   int64          `json:"forced,omitempty"`   // when it began by force-new, in ms since 1970
	Members  []MemberStatus `json:"members"`            // by address
	Shards   []ShardStatus  `json:"shards"`             // by number

	Disk DiskStatus `json:"disk"` // of this node
	Log  LogStatus  `json:"log"`

	Scrub ScrubStatus `json:"scrub"` // of this node
	// Unobtainable is how many messages the disk of this node has lost and no other member
	// gave when they were asked last.
	Unobtainable uint64 `json:"unobtainable,omitempty"`
}

// MovingStatus is an adopted topic that the member has for itself.
type MovingStatus struct {
	Topic   string `json:"topic"`
	Left    int64  `json:"left"`              // messages of its channels that are still to be moved; -1: not counted yet
	Failure string `json:"failure,omitempty"` // why none was moved last
}

// BegunStatus is how a set began anew from what a former one had left.
type BegunStatus struct {
	How    string `json:"how"`              // BegunByForce or BegunByRestore
	Time   int64  `json:"time"`             // seconds since 1970
	From   string `json:"from"`             // the former set
	Member string `json:"member,omitempty"` // of it, whose replica it was
	Lost   string `json:"lost,omitempty"`   // what of that could not be read
}

// The words of Status.State.
const (
	StateMember  = "member"
	StateJoining = "joining" // without a vote yet
	StateWaiting = "waiting" // in no set yet
	StateCutOff  = "cut off" // knows no leader for a while
	StateFailed  = "failed"  // takes no part, or not in all shards
)

// MemberStatus is a member as another one sees it.
type MemberStatus struct {
	Member    string `json:"member"`
	Address   string `json:"address"`
	Version   string `json:"version"`
	Level     uint32 `json:"level"`
	Joining   bool   `json:"joining,omitempty"`
	Replaces  string `json:"replaces,omitempty"` // whose vote it will have
	Leaving   bool   `json:"leaving,omitempty"`
	Connected bool   `json:"connected"` // itself is, too
	// RTT is in microseconds, Skew is by how many milliseconds at least its clock is
	// ahead.
	RTT     int64  `json:"rtt_us"`
	Skew    int64  `json:"skew_ms"`
	Failure string `json:"failure,omitempty"` // why it is not connected
	Refused bool   `json:"refused,omitempty"` // with Failure: one does not want the other, as settings differ, say
}

// ShardStatus is a shard as a member sees it. Group 0 is the shard 0.
type ShardStatus struct {
	Shard     uint32           `json:"shard"`
	Role      string           `json:"role"`
	Leader    string           `json:"leader"`           // address; empty: none is known
	Turn      string           `json:"turn"`             // address of who should lead it
	Preferred bool             `json:"preferred"`        // because somebody said so
	Unsure    bool             `json:"unsure,omitempty"` // of a leader that was just elected: more may be agreed on than it knows
	Term      uint64           `json:"term"`
	Commit    uint64           `json:"commit"`
	Applied   uint64           `json:"applied"`
	Lag       uint64           `json:"lag"`            // committed and not applied, in entries
	Held      bool             `json:"held,omitempty"` // its log may lack something: it does not vote as others do
	Refused   uint64           `json:"refused"`        // messages of members that made no sense
	Stalled   int64            `json:"stalled_ms"`     // for how long nothing could be applied
	Failure   string           `json:"failure,omitempty"`
	Followers []FollowerStatus `json:"followers,omitempty"` // at the leader
}

// agrees tells whether it is the view of a leader that knows all that is agreed on.
func (s *ShardStatus) agrees() bool { return s.Role == replica.Leader.String() && !s.Unsure }

// FollowerStatus is a member as the leader of a shard sees it.
type FollowerStatus struct {
	Address  string `json:"address"`
	Lag      uint64 `json:"lag"` // entries of the leader's log that it is not known to have
	Learner  bool   `json:"learner,omitempty"`
	Active   bool   `json:"active"`
	Snapshot bool   `json:"snapshot,omitempty"` // gets one
}

// DiskStatus is how the disk does under the log, in microseconds.
type DiskStatus struct {
	Save    int64 `json:"save_us"`    // the last save
	Oldest  int64 `json:"oldest_us"`  // the oldest save that is not done
	Waiting int64 `json:"waiting_us"` // for how long nothing can be applied
	Low     bool  `json:"low"`        // there is little room, or none
}

// LogStatus is what keeps files of the log from going.
type LogStatus struct {
	Pinned  int64    `json:"pinned_bytes"`
	Pinning []uint32 `json:"pinning,omitempty"` // shards
}

// View is Status, for those who only show it.
func (s *Set) View() any { return s.Status() }

// Views are View of this member, and then of all that answer it.
func (s *Set) Views() any { return s.Statuses() }

// Statuses is Status of this member, and then of all that answer it, by address.
func (s *Set) Statuses() []Status {
	members := s.connected()
	answers := make([]*Status, len(members))
	var asking sync.WaitGroup
	for n, member := range members {
		asking.Go(func() {
			st := new(Status)
			if s.ask(member, callStatus, nil, st) == nil {
				answers[n] = st
			}
		})
	}
	asking.Wait()
	all := []Status{s.Status()}
	for _, st := range answers {
		if st != nil {
			all = append(all, *st)
		}
	}
	slices.SortFunc(all[1:], func(a, b Status) int { return compareNames(a.Address, b.Address) })
	return all
}

// Status is this member's view of its set.
func (s *Set) Status() Status {
	i := s.who()
	st := Status{State: StateWaiting, Number: i.Number, Member: show(i.Member), Address: s.o.Address, Epoch: i.Epoch, Version: s.o.Version}
	s.mu.Lock()
	st.Waiting = s.waiting
	failure := s.failure
	s.mu.Unlock()
	if i.Cluster != 0 {
		st.Cluster = show(i.Cluster)
	}
	r, g := s.run.Load(), s.registry.Load()
	if g == nil {
		g = new(registry)
	}
	if r != nil {
		st.State, st.Waiting = StateMember, ""
		if m := g.member(i.Member); m == nil || m.Joining {
			st.State = StateJoining
		}
		r.status(&st, g)
	}
	if failure != nil {
		st.State, st.Failure = StateFailed, failure.Error()
	}
	st.Level, st.Patterns, st.Local, st.Expected = s.level.Load(), g.Patterns, g.Local, g.Expected
	if b := g.Begun; b != nil {
		st.Begun = &BegunStatus{How: b.How, Time: b.Time, From: show(b.From), Lost: b.Lost}
		if b.Member != 0 { // else of a backup
			st.Begun.Member = show(b.Member)
		}
		if b.How == BegunByForce {
			st.Forced = b.Time * 1000
		}
	}
	st.Members = s.memberStatus(i.Member, g)
	return st
}

// memberStatus is that of all members, and of those who are expected at the addresses
// that this node was started with.
func (s *Set) memberStatus(own id, g *registry) (list []MemberStatus) {
	var peers []link.Peer
	select {
	case <-s.ready:
		peers = s.links.Peers()
	default:
	}
	for _, m := range g.Members {
		st := MemberStatus{Member: show(m.ID), Address: m.Address, Version: m.Version, Level: m.Level, Joining: m.Joining, Leaving: m.Leaving, Connected: m.ID == own}
		if m.Replaces != 0 {
			st.Replaces = show(m.Replaces)
		}
		for _, p := range peers {
			switch {
			case p.Address != m.Address || m.ID == own:
			case p.Up && p.Hello.Member == uint64(m.ID):
				st.Connected, st.RTT, st.Skew = true, p.RTT.Microseconds(), p.Skew.Milliseconds()
			default:
				st.Failure, st.Refused = p.Failure, p.Refused
			}
		}
		list = append(list, st)
	}
	if len(g.Members) == 0 {
		for _, p := range peers {
			list = append(list, MemberStatus{Member: show(id(p.Hello.Member)), Address: p.Address, Level: p.Hello.Level, Connected: p.Up, RTT: p.RTT.Microseconds(), Skew: p.Skew.Milliseconds(), Failure: p.Failure, Refused: p.Refused})
		}
	}
	slices.SortFunc(list, func(a, b MemberStatus) int { return compareNames(a.Address, b.Address) })
	return list
}

// status adds what is known of the shards.
func (r *run) status(st *Status, g *registry) {
	d := r.watch.disk(r.now(), new(pulse))
	st.Both, st.Moving = r.bothWays(g), r.toMove(g)
	st.Disk = DiskStatus{d.Save.Microseconds(), d.Oldest.Microseconds(), d.Waiting.Microseconds(), d.Low}
	pinned := r.log.Pinning()
	st.Log = LogStatus{pinned.Bytes, pinned.Shards}
	st.Scrub, st.Unobtainable = r.scrub.status(), r.mender.waits.Load()
	for n := uint32(0); n <= Shards; n++ {
		st.Shards = append(st.Shards, r.shardStatus(n, g))
	}
	if err := r.watch.health(); err != nil {
		st.State, st.Failure = StateFailed, err.Error()
		if r.watch.isCutOff() {
			st.State = StateCutOff
		}
	}
}

func (r *run) shardStatus(n uint32, g *registry) ShardStatus {
	st := ShardStatus{Shard: n, Role: replica.Follower.String(), Turn: r.s.addressOf(r.watch.turn(g, n, r.watch.leaderOf(n)))}
	_, st.Preferred = g.Preferred[n]
	if err := r.watch.failureOf(n); err != nil {
		st.Failure = err.Error()
	}
	shard := r.shard(n)
	if shard == nil {
		return st
	}
	now := shard.Status()
	st.Role, st.Term, st.Commit, st.Applied, st.Held, st.Refused = now.Role.String(), now.Term, now.Commit, now.Applied, now.Held, now.Refused
	st.Unsure = now.Role == replica.Leader && !now.Serving
	st.Lag = now.Commit - min(now.Commit, now.Applied)
	if now.Leader != 0 {
		st.Leader = r.s.addressOf(now.Leader)
	}
	if since, err := shard.Stalled(); err != nil {
		st.Stalled, st.Failure = max(since, time.Millisecond).Milliseconds(), err.Error()
	}
	for _, f := range now.Followers {
		st.Followers = append(st.Followers, FollowerStatus{r.s.addressOf(f.Member), now.Last - min(now.Last, f.Match), f.Learner, f.Active, f.Snapshot})
	}
	return st
}

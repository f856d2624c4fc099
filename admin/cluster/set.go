package cluster

import (
	"cmp"
	"slices"
	"time"

	"qmq/internal/nodeclient"
)

// replicaSet is a set of nodes that replicate topics, put together from what its members
// say of it and of one another. What began when is kept from update to update.
type replicaSet struct {
	id      string // as members name it; empty: of nodes that wait for a set
	told    []*node
	about   *nodeclient.Set // what the member says that knows the newest of the set
	members []*setMember    // by address
	shards  []*setShard     // by number

	known     map[string]*setMember // by what tells them apart, see setMember.key
	elections map[uint32]*setShard  // shards by number
}

// setMember is a member, or a node that is to be one.
type setMember struct {
	key     string // its id and address
	about   nodeclient.SetMember
	outside bool // it is none (yet), as far as the members know
	node    *node
	own     *nodeclient.Set // what it says now; nil: it does not answer us
	reached int             // how many other members that answer have a connection to it
	of      int             // of how many
	failure string          // why one has none
	refused string          // why one does not want it, or it does not want one
	skew    int64           // ms by which its clock is ahead of others', the most that is told
	skewed  int             // how many tell that clocks differ much
	behind  time.Time       // since when it has not had what was committed then, in some shard; zero: it keeps up
	cells   []setCell       // by shard

	gone, joins, waits, barred onset
	reach                      []reached // by shard
}

// setCell is what a member is in a shard.
type setCell struct {
	Role     string `json:"role"` // leader, follower, learner, candidate; empty: not known
	Lag      uint64 `json:"lag"`  // entries of the leader's that it has not, or has not applied
	Known    bool   `json:"known"`
	Snapshot bool   `json:"snapshot"`
	Held     bool   `json:"held"`
	Failure  string `json:"failure"`
	Late     bool   `json:"late"` // it has not had for a while what was committed then
	applied  uint64
}

// reached is how far a member was to come, and since when: what was committed at that
// moment.
type reached struct {
	index uint64
	at    time.Time
}

// setShard is a shard over all members.
type setShard struct {
	about  nodeclient.SetShard // by who knows the highest term
	topics int
	alone  onset // without a leader
}

// updateSets puts the sets together from the last answers.
func (c *Cluster) updateSets() {
	claims := c.claims()
	for id := range c.sets {
		if claims[id] == nil {
			delete(c.sets, id)
		}
	}
	for id, nodes := range claims {
		s := c.sets[id]
		if s == nil {
			s = &replicaSet{id: id, known: make(map[string]*setMember), elections: make(map[uint32]*setShard)}
			c.sets[id] = s
		}
		s.update(nodes, c.now, c.young())
	}
	for _, t := range c.topics {
		c.countTopic(t)
	}
}

// claims are the nodes that said of themselves that they belong to a set, by its id. One
// that waits belongs to the set that has its address, if there is one.
func (c *Cluster) claims() map[string][]*node {
	all := make(map[string][]*node)
	var waiting []*node
	for _, n := range c.order {
		switch {
		case n.set == nil:
		case n.set.Cluster == "":
			waiting = append(waiting, n)
		default:
			all[n.set.Cluster] = append(all[n.set.Cluster], n)
		}
	}
	for _, n := range waiting {
		id := ""
		for _, member := range c.order {
			if member.set != nil && member.set.Cluster != "" && expects(member.set, n.set.Address) {
				id = member.set.Cluster
			}
		}
		all[id] = append(all[id], n)
	}
	return all
}

func (c *Cluster) countTopic(t *topicTotal) {
	if t.leader == nil || t.leader.set == nil || c.sets[t.leader.set.Cluster] == nil {
		return
	}
	if sh := c.sets[t.leader.set.Cluster].elections[t.leader.topics[t.name].replica.Shard]; sh != nil {
		sh.topics++
	}
}

// tells returns what a node says now of its set; nil if it does not answer.
func (n *node) tells(now time.Time) *nodeclient.Set {
	if n.set == nil || !n.fresh(now) || n.at.Sub(n.setAt) > oldAfter {
		return nil
	}
	return n.set
}

// update moves the set to now. What is so when nobody has looked for long may have been
// so before.
func (s *replicaSet) update(nodes []*node, now time.Time, young bool) {
	s.told = s.told[:0]
	for _, n := range nodes {
		if n.tells(now) != nil {
			s.told = append(s.told, n)
		}
	}
	s.choose(nodes)
	s.gather(nodes, now)
	s.vote(now, young)
	for _, m := range s.members {
		s.look(m, now)
		m.tell(now, young)
	}
}

// choose finds who knows the newest of the set: who has applied most of group 0.
func (s *replicaSet) choose(nodes []*node) {
	from := s.told
	if len(from) == 0 {
		from = nodes
	}
	newest := func(n *node) uint64 {
		if len(n.set.Shards) == 0 || len(n.set.Members) == 0 {
			return 0
		}
		return 1 + n.set.Shards[0].Applied
	}
	s.about = slices.MaxFunc(from, func(a, b *node) int { return cmp.Compare(newest(a), newest(b)) }).set
}

// gather lists the members, and the nodes that are to be some.
func (s *replicaSet) gather(nodes []*node, now time.Time) {
	s.members = s.members[:0]
	seen := make(map[string]bool)
	add := func(m nodeclient.SetMember, outside bool) {
		key := m.Member + "/" + m.Address
		if seen[key] {
			return
		}
		seen[key] = true
		known := s.known[key]
		if known == nil {
			known = &setMember{key: key}
			s.known[key] = known
		}
		known.about, known.outside, known.node, known.own = m, outside, nil, nil
		for _, n := range nodes {
			if n.set.Member == m.Member && n.set.Address == m.Address {
				known.node, known.own = n, n.tells(now)
			}
		}
		s.members = append(s.members, known)
	}
	if s.id != "" {
		for _, m := range s.about.Members {
			add(m, false)
		}
	}
	for _, n := range nodes {
		if !slices.ContainsFunc(s.members, func(m *setMember) bool { return m.node == n }) {
			add(nodeclient.SetMember{Member: n.set.Member, Address: n.set.Address, Version: n.set.Version}, true)
		}
	}
	for key := range s.known {
		if !seen[key] {
			delete(s.known, key)
		}
	}
	slices.SortStableFunc(s.members, func(a, b *setMember) int { return cmp.Compare(a.about.Address, b.about.Address) })
}

// vote finds out who leads the shards: who is known to in the highest term.
func (s *replicaSet) vote(now time.Time, young bool) {
	s.shards = s.shards[:0]
	for _, m := range s.members {
		if m.own == nil || m.outside {
			continue
		}
		for i := range m.own.Shards {
			said := &m.own.Shards[i]
			sh := s.elections[said.Shard]
			if sh == nil {
				sh = new(setShard)
				s.elections[said.Shard] = sh
			}
			if !slices.Contains(s.shards, sh) {
				s.shards = append(s.shards, sh)
				sh.about, sh.topics = *said, 0
				continue
			}
			sh.hear(said)
		}
	}
	slices.SortFunc(s.shards, func(a, b *setShard) int { return cmp.Compare(a.about.Shard, b.about.Shard) })
	for _, sh := range s.shards {
		sh.alone.set(sh.about.Leader == "", now, young)
	}
}

// hear takes what one more member says, if it knows it better.
func (sh *setShard) hear(said *nodeclient.SetShard) {
	commit := max(sh.about.Commit, said.Commit)
	switch now := &sh.about; {
	case said.Term > now.Term, said.Term == now.Term && (said.Role == roleLeader || now.Leader == ""):
		*now = *said
	}
	sh.about.Commit = commit
}

// look finds out what the member is in the shards, and what others say of it.
func (s *replicaSet) look(m *setMember, now time.Time) {
	m.cells = m.cells[:0]
	for _, sh := range s.shards {
		m.cells = append(m.cells, m.cell(sh))
	}
	m.reached, m.of, m.failure, m.refused, m.skew, m.skewed = 0, 0, "", "", 0, 0
	for _, n := range s.told {
		if n == m.node {
			continue
		}
		m.of++
		for i := range n.set.Members {
			if k := &n.set.Members[i]; k.Member == m.about.Member && k.Address == m.about.Address || k.Member == noMember && k.Address == m.about.Address {
				m.hear(k)
			}
		}
	}
	if m.outside && m.own != nil {
		for i := range m.own.Members {
			if k := &m.own.Members[i]; k.Refused {
				m.refused = k.Failure
			}
		}
	}
	m.progress(s.shards, now)
}

// tell notes since when the member is as it is.
func (m *setMember) tell(now time.Time, young bool) {
	m.gone.set(!m.outside && m.of > 0 && m.reached == 0 && m.refused == "", now, young)
	m.barred.set(m.refused != "" && m.reached == 0, now, young)
	m.joins.set(m.about.Joining, now, young)
	m.waits.set(m.outside && m.own != nil && m.refused == "", now, young)
}

// noMember is the id of a peer that has not said who it is.
const noMember = "0000000000000000"

func (m *setMember) hear(k *nodeclient.SetMember) {
	switch {
	case k.Connected:
		m.reached++
	case k.Refused:
		m.refused = k.Failure
	case k.Failure != "":
		m.failure = k.Failure
	}
	if max(k.Skew, -k.Skew) > max(m.skew, -m.skew) {
		m.skew = k.Skew
	}
	if max(k.Skew, -k.Skew) > skewLimit.Milliseconds() {
		m.skewed++
	}
}

// cell is what the member is in a shard: by its own word, and how far it is behind by
// that of the leader too.
func (m *setMember) cell(sh *setShard) (c setCell) {
	if m.own != nil && !m.outside {
		for i := range m.own.Shards {
			if own := &m.own.Shards[i]; own.Shard == sh.about.Shard {
				c = setCell{Role: own.Role, Lag: own.Lag, Known: true, Held: own.Held, Failure: own.Failure, applied: own.Applied}
				if own.Role == roleLeader && sh.about.Leader != m.about.Address {
					c.Role = roleFollower // it has been deposed
				}
			}
		}
	}
	for _, f := range sh.about.Followers {
		if f.Address != m.about.Address || m.outside || sh.about.Leader == m.about.Address {
			continue
		}
		if !c.Known {
			c = setCell{Role: roleFollower, Known: f.Active, applied: sh.about.Commit - min(sh.about.Commit, f.Lag)}
		}
		c.Lag, c.Snapshot = max(c.Lag, f.Lag), f.Snapshot
		if f.Learner {
			c.Role = "learner"
		}
	}
	if sh.about.Leader == m.about.Address && !m.outside {
		c.Role = roleLeader
	}
	return c
}

// progress compares how far the member has come in each shard with what was committed a
// while ago: how many entries it is behind does not tell for how long.
func (m *setMember) progress(shards []*setShard, now time.Time) {
	m.behind = time.Time{}
	for len(m.reach) < len(shards) {
		m.reach = append(m.reach, reached{})
	}
	for i, sh := range shards {
		r, c := &m.reach[i], &m.cells[i]
		if r.at.IsZero() || c.applied >= r.index {
			*r = reached{sh.about.Commit, now}
		}
		c.Late = c.Known && now.Sub(r.at) >= lateAfter
		if c.Late && (m.behind.IsZero() || r.at.Before(m.behind)) {
			m.behind = r.at
		}
	}
}

// expects tells whether a set has a member at an address, or would take one there.
func expects(s *nodeclient.Set, address string) bool {
	return slices.Contains(s.Expected, address) || slices.ContainsFunc(s.Members, func(m nodeclient.SetMember) bool { return m.Address == address })
}

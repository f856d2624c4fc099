package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
)

// SetsView is the page of sets of replicas.
type SetsView struct {
	Sets []SetRow `json:"sets"`
}

// SetRow is a set: its members, its shards, and what each member is in each shard.
type SetRow struct {
	Set       string      `json:"set"` // its id; empty: of nodes that are in none yet
	Name      string      `json:"name"`
	Level     uint32      `json:"level"` // of features that are in use
	Sub       string      `json:"sub"`
	Patterns  []string    `json:"patterns"` // of replicated topics; none: all
	Local     []string    `json:"local"`    // topics that stay local nevertheless
	Expected  []string    `json:"expected"` // addresses that somebody may join at
	Members   []memberRow `json:"members"`
	Shards    []shardRow  `json:"shards"`
	Attention []Alert     `json:"attention"`
}

type memberRow struct {
	Member   string    `json:"member"`
	Address  string    `json:"address"`
	Node     string    `json:"node"` // empty: none that is known here
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Level    Level     `json:"level"`
	State    string    `json:"state"` // in a word or a few
	Answers  bool      `json:"answers"`
	Outside  bool      `json:"outside"` // it is no member, as far as the members know
	Joining  bool      `json:"joining"`
	Leaving  bool      `json:"leaving"`
	Leads    int       `json:"leads"`
	Lag      uint64    `json:"lag"`     // entries, in all shards
	Late     int       `json:"late"`    // shards that it has not kept up in for a while
	Reached  int       `json:"reached"` // by how many other members
	Of       int       `json:"of"`      // of how many that answer
	RTTMS    Figure    `json:"rtt_ms"`  // the longest to another member
	SkewMS   int64     `json:"skew_ms"` // by which its clock is ahead, at least
	SaveMS   Figure    `json:"save_ms"` // how long the last save of its log took
	Failure  string    `json:"failure"` // why it is not reached, or takes no part
	Lacks    []string  `json:"lacks"`   // members that it has no connection to
	Cells    []setCell `json:"cells"`   // by shard, as Shards
	Replaces string    `json:"replaces"`
}

type shardRow struct {
	Shard     uint32 `json:"shard"`
	Leader    string `json:"leader"` // address; empty: none is known
	Node      string `json:"node"`
	Name      string `json:"name"` // the leader's
	Turn      string `json:"turn"`
	Preferred bool   `json:"preferred"` // somebody moved its leadership there
	Term      uint64 `json:"term"`
	Commit    uint64 `json:"commit"`
	Lag       uint64 `json:"lag"` // of the member that is most behind
	Topics    int    `json:"topics"`
	AloneMS   *int64 `json:"alone_ms"` // for how long it has had no leader
	Level     Level  `json:"level"`
}

func (c *Cluster) setsView() *SetsView {
	v := &SetsView{Sets: []SetRow{}}
	for _, id := range words.Sorted(c.sets) {
		v.Sets = append(v.Sets, c.setRow(c.sets[id]))
	}
	slices.SortStableFunc(v.Sets, func(a, b SetRow) int { return cmp.Compare(a.Name, b.Name) })
	return v
}

func (c *Cluster) setRow(s *replicaSet) SetRow {
	row := SetRow{
		Set: s.id, Name: words.Capital(s.name()), Level: s.about.Level, Patterns: orEmpty(s.about.Patterns), Local: orEmpty(s.about.Local), Expected: orEmpty(s.about.Expected),
		Members: []memberRow{}, Shards: []shardRow{},
	}
	row.Attention = c.alertRows(c.alerts.about(func(l *Alert) bool { return l.Set == cmp.Or(s.id, "none") }))
	for _, m := range s.members {
		row.Members = append(row.Members, c.memberRow(s, m))
	}
	for i, sh := range s.shards {
		row.Shards = append(row.Shards, s.shardRow(i, sh, c.now))
	}
	row.Sub = s.sub()
	return row
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// sub says in one sentence how the set is.
func (s *replicaSet) sub() string {
	members, answering, led := 0, 0, 0
	for _, m := range s.members {
		if !m.outside {
			members++
		}
		if m.own != nil && !m.outside {
			answering++
		}
	}
	if s.id == "" {
		return words.Count(int64(len(s.members)), "node") + " that " + map[bool]string{true: "is", false: "are"}[len(s.members) == 1] + " to be in one"
	}
	for _, sh := range s.shards {
		if sh.about.Leader != "" {
			led++
		}
	}
	return fmt.Sprintf("%s, %d answering; %d of %s led", words.Count(int64(members), "member"), answering, led, words.Count(int64(len(s.shards)), "shard"))
}

func (c *Cluster) memberRow(s *replicaSet, m *setMember) memberRow {
	row := memberRow{
		Member: m.about.Member, Address: m.about.Address, Name: m.name(), Version: m.about.Version, Answers: m.own != nil, Outside: m.outside, Joining: m.about.Joining,
		Leaving: m.about.Leaving, Replaces: m.about.Replaces, Lag: m.lag(), Late: m.late(), Reached: m.reached, Of: m.of, RTTMS: unknown, SkewMS: m.skew, SaveMS: unknown,
		Failure: cmp.Or(m.refused, m.failure), Lacks: []string{}, Cells: slices.Clone(m.cells),
	}
	if row.Cells == nil {
		row.Cells = []setCell{}
	}
	for i := range row.Cells {
		if row.Cells[i].Role == roleLeader {
			row.Leads++
		}
	}
	if m.node != nil {
		row.Node = m.node.id
	}
	if m.own != nil {
		row.Version, row.SaveMS = m.own.Version, Figure(float64(m.own.Disk.Save)/1e3)
		row.Failure = cmp.Or(m.own.Failure, row.Failure)
		row.Lacks, row.RTTMS = m.links()
	}
	row.State = m.state()
	about := func(l *Alert) bool { return l.Set == cmp.Or(s.id, "none") && l.ID == l.Rule+"/"+s.id+"/"+m.key }
	row.Level = c.alerts.levelOf(about)
	if m.own != nil && (m.own.State == nodeclient.SetCutOffState || m.own.State == nodeclient.SetFailedState) {
		row.Level = LevelCrit // at once: no rule waits for it, but that of the node's health
	}
	row.Failure = nodeclient.FailureInWords(row.Failure)
	return row
}

// links are the members that a member has no connection to, and the longest time there
// and back to the others, in milliseconds.
func (m *setMember) links() (lacks []string, rtt Figure) {
	lacks, rtt = []string{}, unknown
	for i := range m.own.Members {
		switch k := &m.own.Members[i]; {
		case k.Member == m.own.Member:
		case !k.Connected:
			lacks = append(lacks, k.Address)
		case k.RTT > 0:
			if ms := Figure(float64(k.RTT) / 1e3); !rtt.known() || ms > rtt {
				rtt = ms
			}
		}
	}
	return lacks, rtt
}

// state is how the member is, for people.
func (m *setMember) state() string {
	switch {
	case m.own != nil && m.own.State != nodeclient.SetMemberState && !(m.about.Joining && m.own.State == nodeclient.SetJoiningState):
		return m.own.State
	case m.outside && m.own != nil:
		return "no member"
	case !m.gone.at.IsZero():
		return "gone"
	case !m.barred.at.IsZero():
		return "not let in"
	case m.about.Leaving:
		return "leaving"
	case m.about.Joining:
		return "joining"
	case m.own == nil && m.reached > 0:
		return "member, not answering here"
	case m.own == nil:
		return "not answering"
	}
	return nodeclient.SetMemberState
}

func (s *replicaSet) shardRow(i int, sh *setShard, now time.Time) shardRow {
	about := &sh.about
	row := shardRow{Shard: about.Shard, Leader: about.Leader, Name: about.Leader, Turn: about.Turn, Preferred: about.Preferred, Term: about.Term, Commit: about.Commit, Topics: sh.topics, Level: levelOK}
	for _, m := range s.members {
		if m.outside {
			continue
		}
		row.Lag = max(row.Lag, m.cells[i].Lag)
		if m.cells[i].Late {
			row.Level = LevelWarn
		}
		if m.about.Address == about.Leader && !(m.about.Joining && row.Node != "") {
			row.Name = m.name()
			if m.node != nil {
				row.Node = m.node.id
			}
		}
	}
	if !sh.alone.at.IsZero() {
		ms := now.Sub(sh.alone.at).Milliseconds()
		row.AloneMS, row.Level = &ms, LevelCrit
	}
	return row
}

// memberOf is what a node is in its set; nil if it is in none.
func (c *Cluster) memberOf(n *node) (*replicaSet, *setMember) {
	for _, s := range c.sets {
		for _, m := range s.members {
			if m.node == n {
				return s, m
			}
		}
	}
	return nil, nil
}

func (c *Cluster) nodeReplicas(n *node) *nodeReplicas {
	s, m := c.memberOf(n)
	if m == nil {
		return nil
	}
	r := &nodeReplicas{Set: s.id, Name: s.name(), Address: m.about.Address, State: m.state(), Shards: len(s.shards), Lag: m.lag()}
	for i := range m.cells {
		if m.cells[i].Role == roleLeader {
			r.Leads++
		}
	}
	return r
}

// lagOf is how many entries a node is behind in the shard of a topic, by the word of the
// leader or else by its own.
func (c *Cluster) lagOf(n *node, t *nodeTopic) uint64 {
	if t.replica.Role == "" {
		return 0
	}
	if s, m := c.memberOf(n); m != nil {
		for i, sh := range s.shards {
			if sh.about.Shard == t.replica.Shard && i < len(m.cells) {
				return m.cells[i].Lag
			}
		}
	}
	return t.replica.Lag
}

// replicatedAt is where a replicated topic is; nil if it is not replicated.
func (c *Cluster) replicatedAt(t *topicTotal) *replicated {
	if !t.shared {
		return nil
	}
	r := &replicated{}
	for _, n := range c.order {
		nt := n.topics[t.name]
		if nt == nil || nt.replica.Role == "" || !n.fresh(c.now) {
			continue
		}
		r.Replicas++
		r.Shard, r.Term = nt.replica.Shard, max(r.Term, nt.replica.Term)
		r.Lag = max(r.Lag, c.lagOf(n, nt))
		r.Leader = cmp.Or(r.Leader, nt.replica.Leader)
		if s, _ := c.memberOf(n); s != nil {
			r.Set, r.Name = s.id, s.name()
		}
	}
	if t.leader != nil {
		r.Node, r.NodeName, r.Leader = t.leader.id, t.leader.name, t.leader.topics[t.name].replica.Leader
	}
	return r
}

// SetDoors are the members of a set that answer, at any of which it can be changed; known
// tells whether there is such a set. Empty is that of nodes that are in none.
func (c *Cluster) SetDoors(id string) (targets []Target, known bool) {
	s := c.sets[id]
	if s == nil || id == "" {
		return nil, false
	}
	for _, m := range s.members {
		if m.own != nil && !m.outside {
			targets = append(targets, m.node.target())
		}
	}
	return targets, true
}

// SetHas tells whether a set has a shard, and a member at an address or of an id.
func (c *Cluster) SetHas(id string, shard uint32, member string) (hasShard, hasMember bool) {
	s := c.sets[id]
	if s == nil {
		return false, false
	}
	hasShard = slices.ContainsFunc(s.shards, func(sh *setShard) bool { return sh.about.Shard == shard })
	hasMember = slices.ContainsFunc(s.members, func(m *setMember) bool {
		return !m.outside && (m.about.Address == member || m.about.Member == member)
	})
	return hasShard, hasMember
}

package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// trio is a set of three as qadmin sees it, second by second. A test changes what the
// members say and looks at what is made of it.
type trio struct {
	t     *testing.T
	c     *Cluster
	now   time.Time
	nodes [3]*nodeclient.Set
	down  [3]bool // gives qadmin no answer
	stats [3]nodeclient.Stats
	news  []string // lines that started or ended
}

const trioShards = 3

func addressOf(i int) string { return fmt.Sprintf("qd%d:4153", i) }
func idOf(i int) string      { return fmt.Sprintf("%016x", i+1) }

// startTrio has shard n led by member n mod 3; all are well.
func startTrio(t *testing.T) *trio {
	s := &trio{t: t, c: New(64<<20, []string{"qd0:4151", "qd1:4151", "qd2:4151"}), now: time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)}
	for i := range s.nodes {
		set := &nodeclient.Set{State: nodeclient.SetMemberState, Cluster: "00000000000000aa", Number: 7, Member: idOf(i), Address: addressOf(i), Version: "2.0.0"}
		for k := range s.nodes {
			set.Members = append(set.Members, nodeclient.SetMember{Member: idOf(k), Address: addressOf(k), Version: "2.0.0", Connected: true, RTT: 200})
		}
		for n := range uint32(trioShards) {
			leader := int(n)
			sh := nodeclient.SetShard{Shard: n, Role: roleFollower, Leader: addressOf(leader), Turn: addressOf(leader), Term: 4, Commit: 100, Applied: 100}
			if leader == i {
				sh.Role = roleLeader
				for k := range s.nodes {
					if k != i {
						sh.Followers = append(sh.Followers, nodeclient.SetFollower{Address: addressOf(k), Active: true})
					}
				}
			}
			set.Shards = append(set.Shards, sh)
		}
		s.nodes[i] = set
		s.stats[i] = nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: 1, HeapInUse: -1}
	}
	s.run(1)
	return s
}

// run lets seconds pass; all entries that are committed grow by ten a second.
func (s *trio) run(seconds int) {
	for range seconds {
		s.now = s.now.Add(time.Second)
		for i, address := range []string{"qd0:4151", "qd1:4151", "qd2:4151"} {
			n := s.c.nodes[address]
			if s.down[i] {
				n.miss(s.now, "connection refused")
				continue
			}
			stats, set := s.stats[i], *s.nodes[i]
			n.answered()
			n.set, n.setAt = &set, s.now
			n.take(&s.c.budget, &stats, s.now, s.c.wasEmptied)
		}
		s.c.Update(s.now, time.Second)
		for _, l := range s.c.TakeAlerts() {
			sign := "+"
			if l.Over != nil {
				sign = "-"
			}
			s.news = append(s.news, sign+l.Rule)
		}
	}
}

// kill has a member die: qadmin gets no answer and the others have no connection; what it
// led, another member leads.
func (s *trio) kill(i int) {
	s.down[i] = true
	heir := (i + 1) % 3
	for k := range s.nodes {
		m := &s.nodes[k].Members[i]
		m.Connected, m.Failure = false, "connection refused"
		for n := range s.nodes[k].Shards {
			sh := &s.nodes[k].Shards[n]
			if sh.Leader != addressOf(i) {
				continue
			}
			sh.Leader, sh.Term, sh.Role = addressOf(heir), sh.Term+1, roleFollower
			if k == heir {
				sh.Role = roleLeader
			}
		}
	}
}

// shard is what a member says of a shard.
func (s *trio) shard(member int, n int) *nodeclient.SetShard { return &s.nodes[member].Shards[n] }

// line is the text of the open line of a rule, empty if there is none.
func (s *trio) line(rule string) (text string, level Level) {
	for _, l := range s.c.alerts.open {
		if l.Rule == rule {
			return l.Text, l.Level
		}
	}
	return "", ""
}

func (s *trio) wants(rule string, level Level, parts ...string) {
	s.t.Helper()
	text, at := s.line(rule)
	if at != level {
		s.t.Errorf("%s has level %q, want %q: %s", rule, at, level, text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			s.t.Errorf("%s says %q without %q", rule, text, part)
		}
	}
}

func (s *trio) none(rule string) {
	s.t.Helper()
	if text, level := s.line(rule); level != "" {
		s.t.Errorf("there is a line of %s: %s", rule, text)
	}
}

func TestSetThatIsWellHasNoLines(t *testing.T) {
	s := startTrio(t)
	s.run(300)
	if len(s.c.alerts.open) > 0 || len(s.news) > 0 {
		t.Errorf("lines: %v", s.news)
	}
	v := s.c.setsView().Sets
	if len(v) != 1 {
		t.Fatalf("%d sets", len(v))
	}
	same(t, "sentence", v[0].Sub, "3 members, 3 answering; 3 of 3 shards led")
	for i, m := range v[0].Members {
		same(t, "member", fmt.Sprint(m.Address, m.Node, m.State, m.Leads, m.Lag, m.Reached, m.Of, m.RTTMS), fmt.Sprint(addressOf(i), fmt.Sprintf("qd%d:4151", i), "member", 1, 0, 2, 2, 0.2))
		for n, cell := range m.Cells {
			same(t, "role", cell.Role, map[bool]string{true: roleLeader, false: roleFollower}[n == i])
		}
	}
}

func TestWhereThereIsNoSetThereIsNothingOfIt(t *testing.T) {
	c := New(1<<20, []string{"a:4151"})
	n := c.nodes["a:4151"]
	now := time.Unix(1_800_000_000, 0)
	n.answered()
	n.take(&c.budget, &nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: 1, Topics: []nodeclient.Topic{{Name: "t"}}}, now, c.wasEmptied)
	c.Update(now, time.Second)
	same(t, "sets", c.Bar("").Sets, 0)
	same(t, "rows", len(c.setsView().Sets), 0)
	if v := c.topicView(c.topics["t"]); v.Replicated != nil || v.Nodes[0].Role != "" {
		t.Errorf("the topic is replicated: %+v", v.Replicated)
	}
	if row := c.nodeRow(n, ""); row.Replicas != nil {
		t.Errorf("the node is a member: %+v", row.Replicas)
	}
}

func TestTwoSetsAreToldApart(t *testing.T) {
	s := startTrio(t)
	other := s.nodes[2]
	other.Cluster, other.Number = "00000000000000bb", 8
	other.Members = other.Members[2:]
	for i := range 2 {
		s.nodes[i].Members = s.nodes[i].Members[:2]
	}
	s.run(1)
	v := s.c.setsView().Sets
	same(t, "sets", len(v), 2)
	same(t, "names", v[0].Name+v[1].Name, "Set 7Set 8")
	same(t, "members", fmt.Sprint(len(v[0].Members), len(v[1].Members)), "2 1")
}

func TestShardWithoutLeaderIsCriticalAfterAnElectionTime(t *testing.T) {
	s := startTrio(t)
	for i := range s.nodes {
		s.shard(i, 1).Leader, s.shard(i, 1).Role = "", "candidate"
	}
	s.run(3)
	s.none("no_leader") // an election
	s.run(9)
	s.wants("no_leader", LevelCrit, "Shard 1 has had no leader for at least 11 s", "see their logs")
	same(t, "alone", *s.c.setsView().Sets[0].Shards[1].AloneMS, 11000)
	for i := range s.nodes {
		s.shard(i, 1).Leader = addressOf(2)
	}
	s.run(2)
	for i := range s.nodes {
		s.shard(i, 1).Leader = ""
	}
	s.run(1)
	s.wants("no_leader", LevelCrit, "Shard 1 has no leader: topics there stand still", "see their logs")
	for i := range s.nodes {
		s.shard(i, 1).Leader, s.shard(i, 1).Term = addressOf(2), 9
	}
	s.shard(2, 1).Role = roleLeader
	s.run(12)
	s.none("no_leader")
}

func TestWithoutAMajorityItIsSaidWhomToStart(t *testing.T) {
	s := startTrio(t)
	s.kill(0)
	s.kill(1)
	for n := range trioShards {
		s.shard(2, n).Leader, s.shard(2, n).Role = "", roleFollower
	}
	s.run(20)
	s.wants("no_leader", LevelCrit, "All shards have had no leader", "Start qd0:4151 and qd1:4151")
}

func TestMemberThatIsGoneIsAWarningThenCritical(t *testing.T) {
	s := startTrio(t)
	s.kill(1)
	s.run(9)
	s.none("under_replicated")
	s.run(3)
	s.wants("under_replicated", LevelWarn, "No member has reached it", "connection refused", "Start it", "start it empty at the same address")
	s.none("no_leader")
	s.run(120)
	s.wants("under_replicated", LevelCrit)
	row := s.c.setsView().Sets[0].Members[1]
	same(t, "state", row.State+" "+string(row.Level), "gone crit")
	same(t, "its shard is led by", s.c.setsView().Sets[0].Shards[1].Leader, addressOf(2))
	s.down[1] = false
	for k := range s.nodes {
		s.nodes[k].Members[1].Connected = true
		s.shard(1, k).Leader, s.shard(1, k).Term, s.shard(1, k).Role = s.shard(0, k).Leader, s.shard(0, k).Term, roleFollower
	}
	s.run(15)
	s.none("under_replicated")
}

func TestMemberThatDoesNotKeepUpIsTold(t *testing.T) {
	s := startTrio(t)
	grow := func(seconds int, keepsUp bool) {
		for range seconds {
			for i := range s.nodes {
				for n := range trioShards {
					s.shard(i, n).Commit += 50
					if i != 2 || keepsUp {
						s.shard(i, n).Applied = s.shard(i, n).Commit - 20 // always a little behind
					}
				}
			}
			s.run(1)
		}
	}
	grow(60, true)
	s.none("under_replicated")
	grow(25, false)
	s.wants("under_replicated", LevelWarn, "Has not kept up in 3 shards", "one copy fewer")
	same(t, "late", s.c.setsView().Sets[0].Members[2].Late, 3)
	grow(120, false)
	s.wants("under_replicated", LevelCrit)
	grow(30, true)
	s.none("under_replicated")
}

func TestLagIsThatOfTheLeaderOrTheMembersOwn(t *testing.T) {
	s := startTrio(t)
	s.shard(0, 0).Followers[1].Lag = 30 // of member 2
	s.shard(1, 0).Lag = 4
	s.run(1)
	m := s.c.setsView().Sets[0].Members
	same(t, "lags", fmt.Sprint(m[0].Cells[0].Lag, m[1].Cells[0].Lag, m[2].Cells[0].Lag), "0 4 30")
	same(t, "of the shard", s.c.setsView().Sets[0].Shards[0].Lag, 30)
}

func TestDiskThatStandsStillIsToldAndWhatToDo(t *testing.T) {
	s := startTrio(t)
	s.nodes[0].Disk.Oldest = 2_000_000
	s.run(1)
	s.wants("wal_stalled", LevelWarn, "A save of its log has taken 2 s already", "look at the disk")
	s.nodes[0].Disk.Oldest, s.nodes[0].Disk.Waiting = 0, 15_000_000
	s.shard(0, 1).Stalled, s.shard(0, 1).Failure = 15_000, "no space left on device"
	s.run(1)
	s.wants("wal_stalled", LevelCrit, "Nothing could be applied for 15 s: no space left on device", "Free space")
	s.nodes[0].Disk.Waiting, s.shard(0, 1).Stalled, s.shard(0, 1).Failure = 0, 0, ""
	s.run(12)
	s.none("wal_stalled")
}

func TestMemberThatJoinsAnewHasALineOfItsOwn(t *testing.T) {
	s := startTrio(t)
	for k := range s.nodes {
		m := &s.nodes[k].Members[2]
		m.Joining, m.Replaces = true, "00000000000000ff"
	}
	s.nodes[2].State = nodeclient.SetJoiningState
	s.shard(0, 0).Followers[1].Learner, s.shard(0, 0).Followers[1].Lag = true, 1234
	s.run(15)
	s.wants("joining", LevelWarn, "what it had promised to keep is lost", "1,234 entries to go", "Leave all members running")
	s.none("under_replicated")
	m := s.c.setsView().Sets[0].Members[2]
	same(t, "row", m.State+" "+m.Cells[0].Role, "joining learner")
	for k := range s.nodes {
		s.nodes[k].Members[2].Joining = false
	}
	s.nodes[2].State = nodeclient.SetMemberState
	s.run(2)
	s.none("joining")
}

func TestNodeThatWaitsForASetSaysForWhom(t *testing.T) {
	s := startTrio(t)
	s.nodes[2] = &nodeclient.Set{State: nodeclient.SetWaitingState, Waiting: "qd0:4153, which does not answer", Member: "00000000000000ee", Address: addressOf(2)}
	for k := range 2 {
		s.nodes[k].Members[2].Connected = false
	}
	s.run(15)
	s.wants("waiting", LevelWarn, "waits for qd0:4153, which does not answer", "--cluster-peers")
	v := s.c.setsView().Sets
	same(t, "sets", len(v), 1) // its address is that of a member
	same(t, "rows", len(v[0].Members), 4)
}

func TestClockThatDiffersFromMostIsTheOneThatIsTold(t *testing.T) {
	s := startTrio(t)
	s.nodes[0].Members[2].Skew, s.nodes[1].Members[2].Skew = -700, -690
	s.nodes[2].Members[0].Skew, s.nodes[2].Members[1].Skew = 700, 690
	s.run(2)
	s.wants("clock_skew", LevelWarn, "at least 700 ms behind the others'", "NTP")
	if n := len(s.c.alerts.open); n != 1 || s.c.alerts.open[0].Node != "qd2:4151" {
		t.Errorf("%d lines, the first about %s", n, s.c.alerts.open[0].Node)
	}
	s.nodes[0].Members[2].Skew, s.nodes[1].Members[2].Skew = -300, -300
	s.run(15)
	s.wants("clock_skew", LevelWarn) // not good enough yet
	s.nodes[0].Members[2].Skew, s.nodes[1].Members[2].Skew = -100, -100
	s.run(15)
	s.none("clock_skew")
}

func TestMembersThatDoNotLetOneIn(t *testing.T) {
	s := startTrio(t)
	for k := range 2 {
		m := &s.nodes[k].Members[2]
		m.Connected, m.Refused, m.Failure = false, true, "refused: qd2:4153 has --replica-sync=kernel and qd0:4153 has always: give all members the same"
	}
	s.run(12)
	s.wants("refused", LevelWarn, "has --replica-sync=kernel", "give all members the same")
	s.none("under_replicated") // one line is enough
	same(t, "state", s.c.setsView().Sets[0].Members[2].State, "not let in")
	s.run(120)
	s.wants("refused", LevelCrit)
}

func TestForceNewIsToldForADay(t *testing.T) {
	s := startTrio(t)
	for i := range s.nodes {
		s.nodes[i].Forced = s.now.UnixMilli()
	}
	s.run(1)
	s.wants("forced", LevelWarn, "force-new", "Wipe their disks")
	for i := range s.nodes {
		s.nodes[i].Forced = s.now.Add(-25 * time.Hour).UnixMilli()
	}
	s.run(1)
	s.none("forced")
}

// topicAt is a replicated topic as a member tells of it.
func topicAt(role string, term uint64, messages, depth, consumers int64) nodeclient.Topic {
	ch := nodeclient.Channel{Name: "c", ClientCount: consumers}
	t := nodeclient.Topic{Name: "t", Replica: nodeclient.Replica{Role: role, Leader: addressOf(0), Shard: 1, Term: term}}
	if role == roleLeader {
		t.Messages, ch.Messages, ch.Depth = messages, messages, depth
	}
	t.Channels = []nodeclient.Channel{ch}
	return t
}

func TestReplicatedTopicCountsOnce(t *testing.T) {
	s := startTrio(t)
	tell := func(leader int, term uint64, messages, depth int64) {
		for i := range s.stats {
			role := roleFollower
			if i == leader {
				role = roleLeader
			}
			s.stats[i].Topics = []nodeclient.Topic{topicAt(role, term, messages, depth, 1)}
		}
	}
	messages := int64(0)
	for range 10 {
		messages += 100
		tell(1, 4, messages, 40)
		s.run(1)
	}
	v := s.c.topicView(s.c.topics["t"])
	f := v.Figures
	same(t, "figures", fmt.Sprint(f.ChannelDepth, f.Messages, f.Consumers, f.Nodes, f.PubRate, f.Unknown), "40 1000 3 3 100 false")
	same(t, "where", fmt.Sprint(v.Replicated.Name, v.Replicated.Shard, v.Replicated.Node, v.Replicated.Replicas), "set 71qd1:41513")
	same(t, "roles", v.Nodes[0].Role+" "+v.Nodes[1].Role+" "+v.Nodes[2].Role, "follower leader follower")
	same(t, "depth of a follower", v.Nodes[0].Depth, 0)
	same(t, "served by", s.c.Serving(Pair{"t", "c"})[0].ID, "qd1:4151")
	same(t, "topics of the shard", s.c.setsView().Sets[0].Shards[1].Topics, 1)
	if row := s.c.TopicsView().Rows[0]; row.Idle || row.Unknown || row.Depth != 40 {
		t.Errorf("row: %+v", row)
	}
	same(t, "of all", s.c.totals().Depth, 40)

	// Another one leads: what it has counted before is no news, and what the old one
	// does not have any more was not finished.
	tell(2, 5, 7000, 40)
	s.run(1)
	v = s.c.topicView(s.c.topics["t"])
	same(t, "depth after", v.Figures.ChannelDepth, 40)
	if rate := float64(s.c.topics["t"].sums.published + s.c.topics["t"].channels["c"].sums.finished); rate != 0 {
		t.Errorf("a change of leaders made a rate of %v", rate)
	}
	same(t, "trend goes on", s.c.topics["t"].answering == s.c.topics["t"].answered, true)
}

func TestOfTwoLeadersTheOneOfTheHigherTermCounts(t *testing.T) {
	s := startTrio(t)
	s.stats[0].Topics = []nodeclient.Topic{topicAt(roleLeader, 4, 1000, 50, 1)}
	s.stats[1].Topics = []nodeclient.Topic{topicAt(roleLeader, 5, 10, 60, 0)}
	s.stats[2].Topics = []nodeclient.Topic{topicAt(roleFollower, 5, 0, 0, 2)}
	s.run(1)
	f := s.c.topicView(s.c.topics["t"]).Figures
	same(t, "figures", fmt.Sprint(f.ChannelDepth, f.Messages, f.Consumers), "60 10 3")
	same(t, "of all", s.c.totals().Depth, 60)
	if n := s.c.nodes["qd0:4151"]; n.sums.depth != 0 || n.sums.consumers != 1 {
		t.Errorf("the one that was deposed has %+v", n.sums)
	}
}

func TestTopicThatNobodyLeadsHasNoFigures(t *testing.T) {
	s := startTrio(t)
	for i := range s.stats {
		s.stats[i].Topics = []nodeclient.Topic{topicAt(roleFollower, 5, 0, 0, 1)}
	}
	s.run(2)
	v := s.c.topicView(s.c.topics["t"])
	if !v.Figures.Unknown || !v.Channels[0].Unknown || !strings.Contains(v.Sub, "nobody leads it") {
		t.Errorf("figures %+v, %s", v.Figures, v.Sub)
	}
	if row := s.c.TopicsView().Rows[0]; !row.Unknown || row.Idle {
		t.Errorf("row: %+v", row)
	}
}

func TestLineOfAChannelOutlivesItsLeader(t *testing.T) {
	s := startTrio(t)
	depth := int64(0)
	tell := func(leader int, term uint64) {
		for i := range s.stats {
			role := roleFollower
			if i == leader {
				role = roleLeader
			}
			s.stats[i].Topics = []nodeclient.Topic{topicAt(role, term, depth, depth, 0)}
		}
		depth += 10
		s.run(1)
	}
	for range 60 {
		tell(0, 4)
	}
	tell(-1, 4) // an election
	for range 100 {
		tell(1, 5)
	}
	s.wants("no_consumers", LevelCrit)
	tell(-1, 5)
	s.wants("no_consumers", LevelCrit)
	tell(2, 6)
	s.wants("no_consumers", LevelCrit)
	if slices.Contains(s.news, "-no_consumers") {
		t.Errorf("lines came and went: %v", s.news)
	}
}

func TestDoorsOfASetAreMembersThatAnswer(t *testing.T) {
	s := startTrio(t)
	s.kill(0)
	s.run(10)
	doors, known := s.c.SetDoors("00000000000000aa")
	same(t, "doors", fmt.Sprint(known, len(doors), doors[0].ID), "true 2qd1:4151")
	if _, known := s.c.SetDoors("00000000000000bb"); known {
		t.Error("a set that nobody is a member of has doors")
	}
	shard, member := s.c.SetHas("00000000000000aa", 2, addressOf(0))
	same(t, "has", fmt.Sprint(shard, member), "true true")
	shard, member = s.c.SetHas("00000000000000aa", 99, "elsewhere:1")
	same(t, "has not", fmt.Sprint(shard, member), "false false")
}

func TestMemberThatIsCutOffIsSeenAtOnce(t *testing.T) {
	s := startTrio(t)
	s.nodes[2].State = nodeclient.SetCutOffState
	s.run(1)
	m := s.c.setsView().Sets[0].Members[2]
	same(t, "state", m.State+" "+string(m.Level), "cut off crit")
}

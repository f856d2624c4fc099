package replica

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// nobody is told of events.
type nobody struct{}

func (nobody) Leader(member, term uint64)   {}
func (nobody) Led(term uint64)              {}
func (nobody) Deposed()                     {}
func (nobody) Applied(Applied)              {}
func (nobody) Installed(index, term uint64) {}

// loneCore is member 1 of three, with some entries, as a follower of 2 in term 5.
func loneCore(t *testing.T) *core {
	t.Helper()
	log, m := new(simLog), newSimMachine(bugs{})
	store, update, err := begin(log, m, []uint64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	log.Save(*update)
	log.show(log.write())
	c, err := newCore(coreOptions{member: 1, electionTicks: 10, heartbeatTicks: 2, events: nobody{}, alarm: func(error) {}, logger: quiet}, store)
	if err != nil {
		t.Fatal(err)
	}
	var entries []*pb.Entry
	for i := range uint64(5) {
		entries = append(entries, &pb.Entry{Index: new(2 + i), Term: new(uint64(5))})
	}
	must(t, c.step(&pb.Message{Type: pb.MsgApp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(5)),
		Index: new(uint64(1)), LogTerm: new(uint64(1)), Entries: entries, Commit: new(uint64(4))}))
	settleLog(c, log)
	return c
}

// settleLog saves what the core wants saved.
func settleLog(c *core, log *simLog) {
	for out := c.take(); len(out.saves) > 0; out = c.take() {
		for _, s := range out.saves {
			log.Save(s.Update)
			log.show(log.write())
			c.saveDone(s, nil)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessagesThatRaftWouldPanicOnAreRefusedAndCounted(t *testing.T) {
	to := func(typ pb.MessageType, edit func(*pb.Message)) *pb.Message {
		m := &pb.Message{Type: typ.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(5))}
		edit(m)
		return m
	}
	entry := func(index, term uint64) *pb.Entry { return &pb.Entry{Index: new(index), Term: new(term)} }
	for name, m := range map[string]*pb.Message{
		"none":                  nil,
		"for somebody else":     to(pb.MsgHeartbeat, func(m *pb.Message) { m.To = new(uint64(3)) }),
		"from nobody":           to(pb.MsgHeartbeat, func(m *pb.Message) { m.From = nil }),
		"from itself":           to(pb.MsgHeartbeat, func(m *pb.Message) { m.From = new(uint64(1)) }),
		"from its own log":      to(pb.MsgStorageAppendResp, func(m *pb.Message) { m.From = new(raft.LocalAppendThread) }),
		"no term":               to(pb.MsgApp, func(m *pb.Message) { m.Term = nil }),
		"a term far ahead":      to(pb.MsgVote, func(m *pb.Message) { m.Term = new(uint64(math.MaxUint64)) }),
		"unknown type":          to(pb.MessageType(99), func(m *pb.Message) {}),
		"a proposal":            to(pb.MsgProp, func(m *pb.Message) {}),
		"a call for election":   to(pb.MsgHup, func(m *pb.Message) {}),
		"a bare snapshot":       to(pb.MsgSnap, func(m *pb.Message) {}),
		"a context of 3 bytes":  to(pb.MsgHeartbeatResp, func(m *pb.Message) { m.Context = []byte("abc") }),
		"a gap in front":        to(pb.MsgApp, func(m *pb.Message) { m.Index = new(uint64(6)); m.Entries = []*pb.Entry{entry(8, 5)} }),
		"a gap between":         to(pb.MsgApp, func(m *pb.Message) { m.Index = new(uint64(6)); m.Entries = []*pb.Entry{entry(7, 5), entry(9, 5)} }),
		"an entry that is none": to(pb.MsgApp, func(m *pb.Message) { m.Entries = []*pb.Entry{nil} }),
		"a term that falls": to(pb.MsgApp, func(m *pb.Message) {
			m.Index = new(uint64(6))
			m.LogTerm = new(uint64(5))
			m.Entries = []*pb.Entry{entry(7, 4)}
		}),
		"an entry of the future": to(pb.MsgApp, func(m *pb.Message) { m.Index = new(uint64(6)); m.Entries = []*pb.Entry{entry(7, 6)} }),
		"no change of members": to(pb.MsgApp, func(m *pb.Message) {
			m.Index = new(uint64(6))
			m.Entries = []*pb.Entry{{Index: new(uint64(7)), Term: new(uint64(5)), Type: pb.EntryConfChangeV2.Enum(), Data: []byte{0xff}}}
		}),
		"an unknown kind of entry": to(pb.MsgApp, func(m *pb.Message) {
			m.Index = new(uint64(6))
			m.Entries = []*pb.Entry{{Index: new(uint64(7)), Term: new(uint64(5)), Type: pb.EntryType(7).Enum()}}
		}),
		"leadership from who has none": to(pb.MsgTimeoutNow, func(m *pb.Message) { m.From = new(uint64(3)) }),
		"a hint beyond":                to(pb.MsgAppResp, func(m *pb.Message) { m.Reject = new(true); m.RejectHint = new(uint64(9)) }),
	} {
		c := loneCore(t)
		if err := c.step(m); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
		if c.refused != 1 || c.giving.stopped {
			t.Errorf("%s: refused %d, stopped %v", name, c.refused, c.giving.err)
		}
	}
}

func TestCommitBeyondTheLogShowsThatTheMemberForgot(t *testing.T) {
	c := loneCore(t)
	heartbeat := func(commit uint64) *pb.Message {
		return &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(5)), Commit: new(commit)}
	}
	must(t, c.step(heartbeat(6)))
	if err := c.step(heartbeat(7)); !errors.Is(err, ErrForgetful) {
		t.Errorf("what it never had is said to be here: %v", err)
	}
	if !c.giving.stopped || !errors.Is(c.giving.err, ErrForgetful) {
		t.Errorf("it goes on: %v", c.giving.err)
	}
}

func TestLeaderRefusesAnAcknowledgementBeyondItsLog(t *testing.T) {
	c := loneCore(t)
	for c.role != raft.StateCandidate && c.role != raft.StatePreCandidate {
		c.tick()
	}
	c.step(&pb.Message{Type: pb.MsgPreVoteResp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(6))})
	syncAndDeliver(c)
	c.step(&pb.Message{Type: pb.MsgVoteResp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(c.term)})
	syncAndDeliver(c)
	if c.role != raft.StateLeader {
		t.Fatalf("role %v in term %d", c.role, c.term)
	}
	err := c.step(&pb.Message{Type: pb.MsgAppResp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(c.term), Index: new(c.last.index + 1)})
	if !errors.Is(err, ErrMessage) {
		t.Errorf("accepted: %v", err)
	}
}

// syncAndDeliver has all saves done.
func syncAndDeliver(c *core) { settleLog(c, c.log.Log.(*simLog)) }

// Whatever a peer says, the shard goes on or says that the member forgot; it
// never panics.
func TestGarbageNeverPanics(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := loneCore(t)
		for range 200 {
			if rng.IntN(4) == 0 {
				c.tick()
			}
			c.step(garbage(rng))
			if syncAndDeliver(c); c.giving.stopped {
				break
			}
		}
		if c.giving.err != nil && !errors.Is(c.giving.err, ErrForgetful) {
			t.Fatal(c.giving.err)
		}
	}
}

// garbage is a message that is nearly right.
func garbage(rng *rand.Rand) *pb.Message {
	near := func() *uint64 {
		if rng.IntN(20) == 0 {
			return new(rng.Uint64())
		}
		return new(rng.Uint64N(12))
	}
	m := &pb.Message{
		Type: pb.MessageType(rng.IntN(25)).Enum(), From: new(rng.Uint64N(5)), To: new(uint64(1)), Term: near(),
		Index: near(), LogTerm: near(), Commit: near(), RejectHint: near(), Reject: new(rng.IntN(3) == 0),
	}
	switch rng.IntN(30) {
	case 0:
		m.Context = []byte(transferring)
	case 1:
		m.Context = []byte(rollCall)
	}
	at := m.GetIndex()
	for range rng.IntN(4) {
		at++
		e := &pb.Entry{Index: new(at), Term: new(min(m.GetTerm(), m.GetLogTerm()+rng.Uint64N(2)))}
		if rng.IntN(10) == 0 {
			e.Type, e.Data = pb.EntryType(rng.IntN(4)).Enum(), []byte{byte(rng.Uint32())}
		}
		m.Entries = append(m.Entries, e)
	}
	return m
}

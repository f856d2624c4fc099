package replica

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

const electionTicks = 333

// heldCore is member 1 of three whose log was cut behind entry 6 of term 5.
func heldCore(t *testing.T) *core {
	t.Helper()
	c := loneCore(t)
	store := c.log
	store.state = c.saved
	held, err := newCore(coreOptions{member: 1, electionTicks: 10, heartbeatTicks: 2, holdTicks: electionTicks, events: nobody{}, alarm: func(error) {}, logger: quiet}, store)
	must(t, err)
	return held
}

// tells has a voter answer a roll call.
func tells(t *testing.T, c *core, from, term uint64, end position) {
	t.Helper()
	must(t, c.step(&pb.Message{
		Type: pb.MsgPreVoteResp.Enum(), Context: []byte(rollCall), Reject: new(true), From: new(from), To: new(uint64(1)),
		Term: new(term), LogTerm: new(end.term), Index: new(end.index),
	}))
}

// answers are the messages to a member that follow a message of it.
func answers(t *testing.T, c *core, m *pb.Message) (list []*pb.Message) {
	t.Helper()
	syncAndDeliver(c)
	must(t, c.step(m))
	out := c.take()
	for len(out.saves) > 0 {
		for _, s := range out.saves {
			log := c.log.Log.(*simLog)
			log.Save(s.Update)
			log.show(log.write())
			c.saveDone(s, nil)
		}
		list = append(list, out.messages...)
		out = c.take()
	}
	return append(list, out.messages...)
}

func asksForVote(from, term uint64, end position) *pb.Message {
	return &pb.Message{Type: pb.MsgVote.Enum(), From: new(from), To: new(uint64(1)), Term: new(term), LogTerm: new(end.term), Index: new(end.index)}
}

func appends(from, term uint64, after position, entries ...*pb.Entry) *pb.Message {
	return &pb.Message{
		Type: pb.MsgApp.Enum(), From: new(from), To: new(uint64(1)), Term: new(term),
		LogTerm: new(after.term), Index: new(after.index), Entries: entries,
	}
}

// grants tells whether a vote is among the messages.
func grants(list []*pb.Message) bool {
	for _, m := range list {
		if m.GetType() == pb.MsgVoteResp && !m.GetReject() {
			return true
		}
	}
	return false
}

var atTheEnd = position{5, 6} // of heldCore's log

func TestHeldMemberTakesNoPartBeforeAllHaveTold(t *testing.T) {
	c := heldCore(t)
	asked := make(map[uint64]bool)
	for range 2 {
		c.tick()
	}
	for _, m := range c.take().messages {
		asked[m.GetTo()] = string(m.GetContext()) == rollCall
	}
	if !asked[2] || !asked[3] || len(asked) != 2 {
		t.Errorf("asked %v", asked)
	}
	tells(t, c, 2, 5, atTheEnd)
	if got := answers(t, c, asksForVote(2, 6, atTheEnd)); len(got) > 0 {
		t.Errorf("answers a vote request with %v", got)
	}
	if got := answers(t, c, appends(2, 5, atTheEnd)); len(got) > 0 {
		t.Errorf("acknowledges with %v", got)
	}
	tells(t, c, 3, 5, position{4, 3})
	if c.hold.on {
		t.Error("held, and nothing is missing")
	}
	if !grants(answers(t, c, asksForVote(2, 6, atTheEnd))) {
		t.Error("no vote though all have told")
	}
}

func TestVoterThatIsSilentIsWaitedForLongEnough(t *testing.T) {
	c := heldCore(t)
	tells(t, c, 2, 5, atTheEnd)
	for range electionTicks - 1 {
		c.tick()
	}
	if got := answers(t, c, asksForVote(2, 6, atTheEnd)); grants(got) {
		t.Error("votes too soon")
	}
	c.tick()
	if !grants(answers(t, c, asksForVote(2, 6, atTheEnd))) {
		t.Error("waits for ever")
	}
}

func TestHeldMemberKeepsWhatItMayHavePromised(t *testing.T) {
	c := heldCore(t)
	tells(t, c, 2, 5, atTheEnd)
	tells(t, c, 3, 7, atTheEnd)
	if grants(answers(t, c, asksForVote(2, 7, atTheEnd))) {
		t.Error("votes in a term that somebody is in: it may have voted there")
	}
	for _, m := range answers(t, c, appends(2, 7, atTheEnd, &pb.Entry{Term: new(uint64(7)), Index: new(uint64(7))})) {
		if m.GetIndex() == 7 || m.GetTerm() != 8 {
			t.Errorf("answers the leader of a term that it may have acknowledged in: %v", m)
		}
	}
	if !grants(answers(t, c, asksForVote(2, 8, atTheEnd))) {
		t.Error("no vote in a term of its own")
	}
}

func TestHeldMemberVotesForNobodyBehindWhatIsTold(t *testing.T) {
	c := heldCore(t)
	tells(t, c, 2, 5, position{5, 9})
	tells(t, c, 3, 5, atTheEnd)
	if grants(answers(t, c, asksForVote(3, 6, atTheEnd))) {
		t.Error("votes for who may lack what it lacks itself")
	}
	for range 40 {
		c.tick()
		c.step(&pb.Message{Type: pb.MsgPreVoteResp.Enum(), From: new(uint64(3)), To: new(uint64(1)), Term: new(c.term + 1)})
		syncAndDeliver(c)
	}
	if c.term != 6 {
		t.Errorf("it stands in term %d", c.term)
	}
	if !grants(answers(t, c, asksForVote(2, 7, position{5, 9}))) {
		t.Error("no vote for who has all that is told of")
	}
}

func TestHoldEndsWhenTheLogGetsToWhatIsTold(t *testing.T) {
	c := heldCore(t)
	tells(t, c, 2, 5, position{5, 7})
	tells(t, c, 3, 5, atTheEnd)
	must(t, c.step(appends(2, 6, atTheEnd, &pb.Entry{Term: new(uint64(5)), Index: new(uint64(7))})))
	c.tick()
	if !c.hold.on {
		t.Error("it ends before the entry is saved")
	}
	syncAndDeliver(c)
	c.tick()
	if c.hold.on {
		t.Error("it goes on")
	}
}

// A voter that is gone with what only it had must not stop the others for good.
func TestWhoIsSilentForTooLongIsForgotten(t *testing.T) {
	c := heldCore(t)
	tells(t, c, 2, 5, position{5, 9})
	for range electionTicks {
		tells(t, c, 3, 5, atTheEnd)
		c.tick()
	}
	if c.hold.on {
		t.Error("it waits for who is gone")
	}
}

func TestMemberWithATornTailWaitsForWhoIsSilent(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		l := s.leader()
		torn := s.others(l)[0]
		torn.shard.Stop()
		s.setCut(l.id, true)
		s.open(torn, nil, electionTicks)
		at := time.Now()
		s.leader(l.id)
		if took := time.Since(at); took < 9*time.Second {
			t.Errorf("somebody leads after %v with its vote", took)
		}
	})
}

// Two of three are held. One lost the only other copy of an entry, the third
// never had it: who still has it must lead, and soon.
func TestOfTwoHeldMembersTheOneThatIsWholeLeads(t *testing.T) {
	inSet(t, 3, func(t *testing.T, s *set) {
		whole := s.leader()
		rotten, behind := s.others(whole)[0], s.others(whole)[1]
		s.setCut(behind.id, true)
		if err := s.propose(whole, one(whole.id)); err != nil {
			t.Fatal(err)
		}
		whole.shard.Stop()
		rotten.shard.Stop()
		rotten.log.mu.Lock()
		rotten.log.durable = logState{
			hard: &pb.HardState{Term: new(uint64(1)), Commit: new(uint64(1))},
			base: rotten.log.durable.base,
		}
		rotten.log.restart()
		rotten.log.mu.Unlock()
		rotten.machine.set(func(m *lockedMachine) { m.restart() })
		s.setCut(behind.id, false)
		s.open(rotten, nil, electionTicks)
		s.open(whole, nil, electionTicks)
		at := time.Now()
		if l := s.leader(); l != whole {
			t.Errorf("member %d leads, not %d", l.id, whole.id)
		}
		if took := time.Since(at); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		s.until("all have it", func() bool { return rotten.count() == 1 && behind.count() == 1 })
	})
}

// Whoever led before the member was cut believes that it has more.
func TestHeldMemberIsNotForgetfulForWhatItsOldLeaderBelieves(t *testing.T) {
	c := heldCore(t)
	believes := &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(5)), Commit: new(uint64(9))}
	must(t, c.step(believes))
	tells(t, c, 2, 5, position{5, 9})
	tells(t, c, 3, 5, position{5, 9})
	must(t, c.step(believes))
	if syncAndDeliver(c); c.commit > 6 || c.giving.stopped {
		t.Errorf("commit %d, stopped %v", c.commit, c.giving.err)
	}
}

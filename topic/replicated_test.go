package topic

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/state"
)

// agreed is a StateLog of others, and the log that they append to.
type agreed struct {
	t  *testing.T
	st *state.State

	mu     sync.Mutex
	refuse error
}

func (a *agreed) Commit(entries ...state.Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse != nil {
		return a.refuse
	}
	for _, e := range entries {
		a.st.Apply(e)
	}
	return nil
}

func (*agreed) Attach(state.Source) {}
func (*agreed) Detach(state.Source) {}
func (*agreed) Mark(state.Source)   {}

// replicated makes a bench's topic one whose log is appended to by the test.
func replicated(t *testing.T, b *bench) *agreed {
	t.Helper()
	must(t, b.Stop())
	a := &agreed{t: t, st: state.New()}
	a.st.Apply(state.Entry{Op: state.CreateTopic, Topic: 1, Name: "t", FanOut: b.o.Log.End()})
	b.serveAgain(a)
	return a
}

// serveAgain makes the topic from what is agreed on.
func (b *bench) serveAgain(a *agreed) {
	a.st.Finish()
	o := b.o
	o.State, o.Replicated, o.End = a, true, b.o.Log.End()
	b.Topic = Restore(o, a.st.Topics[1])
}

// commit appends messages as whoever applies entries does, and tells the topic.
func (b *bench) commit(t *testing.T, bodies ...string) diskqueue.Appended {
	t.Helper()
	added := b.appendOnly(t, bodies...)
	b.Committed(added, uint64(len(bodies)), Promise{})
	return added
}

func (b *bench) appendOnly(t *testing.T, bodies ...string) diskqueue.Appended {
	t.Helper()
	var batch diskqueue.Batch
	batch.Reset()
	for _, body := range bodies {
		batch.Add(&message.Meta{Timestamp: 1}, []byte(body))
	}
	added, err := b.o.Log.Append([]*diskqueue.Batch{&batch})
	must(t, err)
	return added
}

// whileReplicated runs a test in a bubble of its own.
func whileReplicated(t *testing.T, test func(t *testing.T, b *bench, a *agreed), settings ...setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d", settings...)
		test(t, b, replicated(t, b))
		must(t, b.Stop())
		b.cleaner().Close()
		must(t, b.journal.Close())
		must(t, b.o.Log.Close())
		b.deadlines.Close()
	})
}

func TestReplicatedTopicGivesOutWhatIsCommitted(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, _ *agreed) {
		c := b.channel(t, "c")
		b.commit(t, "a", "b")
		b.commit(t, "c")
		wantWaiting(t, c, "a", "b", "c")
		if s := b.Stats(); s.MessageCount != 3 || s.MessageBytes != 3 || s.Depth != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestReplicatedTopicIsMadeWithWhatWasThere: what comes again that it was made with
// is passed over, and what the log held beyond that is not given out early.
func TestReplicatedTopicIsMadeWithWhatWasThere(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		b.channel(t, "c")
		was := b.commit(t, "a")
		must(t, b.Stop())
		o := b.o
		o.End = b.o.Log.End()
		late := b.appendOnly(t, "b") // applied, but after the state was looked at
		a.st.Finish()
		b.Topic = Restore(o, a.st.Topics[1])
		c, _ := b.ExistingChannel("c")
		if got := drain(t, c); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%q", got)
		}
		b.Committed(was, 1, Promise{})
		b.Committed(late, 1, Promise{})
		wantWaiting(t, c, "b")
	})
}

func TestReplicatedTopicIsPublishedToByOthersAlone(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, _ *agreed) {
		end := b.o.Log.End()
		if err := b.Publish(batchOf(1, 1)); err != ErrReplicated {
			t.Errorf("published with %v", err)
		}
		if b.o.Log.End() != end || b.Failure() != nil || b.Probe() != nil {
			t.Errorf("end %d, was %d; %v", b.o.Log.End(), end, b.Failure())
		}
	})
}

// TestStopOfReplicatedTopicLeavesTheLogAlone: consumers are told, and the log goes on.
func TestStopOfReplicatedTopicLeavesTheLogAlone(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		k := subscribe(t, b.channel(t, "c"))
		b.commit(t, "a")
		must(t, b.Stop())
		if !k.closed.Load() {
			t.Error("the consumer was not told")
		}
		b.appendOnly(t, "b")
		b.serveAgain(a)
		c, _ := b.ExistingChannel("c")
		wantWaiting(t, c, "a", "b")

		b.Drop()
		b.appendOnly(t, "c")
		if _, err := b.o.Log.Sync(); err != nil {
			t.Errorf("the log of a topic that was deleted here is not synced: %v", err)
		}
	})
}

// TestReplicatedTopicGivesNoSegmentUp, but memory at once.
func TestReplicatedTopicGivesNoSegmentUp(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, _ *agreed) {
		c := b.channel(t, "c")
		for range 20 {
			added, err := b.o.Log.Append([]*diskqueue.Batch{batchOf(1, 20<<10)})
			must(t, err)
			b.Committed(added, 20<<10, Promise{})
		}
		segments := len(b.o.Log.Extents())
		drain(t, c)
		b.pass(5 * time.Second)
		if n := len(b.o.Log.Extents()); n != segments || n < 3 {
			t.Errorf("%d segments of %d are left", n, segments)
		}
		if hot := b.o.Log.HotStart(); hot != b.o.Log.End() {
			t.Errorf("memory is kept from %d of %d on", hot, b.o.Log.End())
		}
		b.commit(t, "next")
		wantWaiting(t, c, "next")
	}, smallSegments)
}

// TestReplicatedTopicWaitsForWhatThisNodeLost: other nodes have it, so it is void
// nowhere, and others of the channel go on.
func TestReplicatedTopicWaitsForWhatThisNodeLost(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, _ *agreed) {
		c := b.channel(t, "c")
		first := b.appendOnly(t, "lost")
		b.Committed(first, 4, Promise{})
		b.o.Log.EndSegment()
		b.commit(t, "there")
		b.o.Log.Reclaim(first.End) // as damage may
		k := subscribe(t, c)
		if got := bodies(k.takeAll()); !slices.Equal(got, []string{"there"}) {
			t.Errorf("%q", got)
		}
		b.pass(time.Minute)
		if floor := c.Floor(); floor != first.First || b.lost != 0 {
			t.Errorf("floor %d of %d, %d lost", floor, first.First, b.lost)
		}
		if told := b.told(); !slices.ContainsFunc(told, func(s string) bool { return len(s) > 4 && s[:4] == "read" }) {
			t.Errorf("told %q", told)
		}
	}, nothingHot)
}

// TestVoidsOfReplicatedTopicAreThoseAgreedOn.
func TestVoidsOfReplicatedTopicAreThoseAgreedOn(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		b.channel(t, "c")
		added := b.commit(t, "a", "b", "c")
		must(t, b.Stop())
		a.st.Topics[1].Voids = []seqset.Range{{From: added.First + 1, To: added.First + 2}}
		b.serveAgain(a)
		c, _ := b.ExistingChannel("c")
		wantWaiting(t, c, "a", "c")
		jumped := diskqueue.Appended{First: b.o.Log.End() + 10, End: b.o.Log.End() + 11}
		b.Committed(jumped, 1, Promise{})
		if depth := c.Stats().Depth; depth != 3 {
			t.Errorf("depth %d: what was left out is void", depth)
		}
	})
}

// TestFanOutOfEphemeralChannelsIsToldOnce.
func TestFanOutOfEphemeralChannelsIsToldOnce(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		c := b.channel(t, "c#ephemeral")
		added := b.commit(t, "a")
		e, needed := b.FanOutEntry()
		if !needed || e.FanOut != added.End || e.Op != state.SetFanOut {
			t.Errorf("%+v %v", e, needed)
		}
		must(t, a.Commit(e))
		b.FanOutKnown(e.FanOut)
		if e, needed := b.FanOutEntry(); needed {
			t.Errorf("again %+v", e)
		}
		wantWaiting(t, c, "a")
		must(t, b.Stop())
		b.serveAgain(a) // another node takes over
		wantWaiting(t, b.channel(t, "c#ephemeral"))
	})
}

// TestRefusedChangeOfReplicatedTopicChangesNothing: the leader is on its way out.
func TestRefusedChangeOfReplicatedTopicChangesNothing(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		a.refuse = channel.ErrExiting
		if _, err := b.Channel("c"); err != channel.ErrExiting {
			t.Errorf("made with %v", err)
		}
		if len(b.Channels()) != 0 || len(a.st.Topics[1].Channels) != 0 {
			t.Error("a channel is there")
		}
	})
}

// TestReplicatedTopicKeepsRoomForWhatIsAdmitted until it is committed or withdrawn.
func TestReplicatedTopicKeepsRoomForWhatIsAdmitted(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, _ *agreed) {
		b.configure(t, `{"max_messages": 3}`)
		b.commit(t, "a")
		p, err := b.Admit(2, 100)
		must(t, err)
		_, err = b.Admit(1, 50)
		wantFull(t, err, MaxMessages)
		b.Withdraw(p)
		_, err = b.Admit(3, 150)
		wantFull(t, err, MaxMessages)
		p, err = b.Admit(1, 50)
		must(t, err)
		b.Withdraw(p)
		b.commit(t, "b", "c")
		_, err = b.Admit(1, 50)
		wantFull(t, err, MaxMessages)
	})
}

// TestLeaderAgesAndDropsWhatAllAgreeOn: what it decides the others hear of.
func TestLeaderAgesAndDropsWhatAllAgreeOn(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		b.configure(t, `{"max_messages": 2, "overflow": "drop-oldest"}`)
		b.commit(t, "a", "b", "c")
		wait(time.Second)
		if s := b.Stats(); s.Depth != 2 || s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
		b.configure(t, `{"max_messages": null, "max_age": "1s"}`) // they are very old
		wait(time.Second)
		if s := b.Stats(); s.Depth != 0 || s.Expired != 2 {
			t.Errorf("%+v", s)
		}
		st := a.st.Topics[1]
		if want := (seqset.Range{From: st.Start, To: b.o.Log.End()}); st.Settings != `{"overflow":"drop-oldest","max_age":"1s"}` ||
			st.FanOut != want.To || !slices.Equal(st.Voids, []seqset.Range{want}) {
			t.Errorf("set is %s, void are %v, the fan-out is at %d, want %v", st.Settings, st.Voids, st.FanOut, want)
		}
	})
}

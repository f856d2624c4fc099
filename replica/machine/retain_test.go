package machine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

func retainFrom(number uint64) state.Entry {
	return state.Entry{Op: state.RetainFrom, Topic: 1, Start: number}
}

// retaining is a machine with a topic of 100 messages, five to a segment, a channel that
// has finished all of them, and which were retained from the first on.
func retaining(t *testing.T, disk *crashfs.FS) *Machine {
	t.Helper()
	m := filled(t, disk, "c")
	feed(t, m, topology(retainFrom(1)))
	feed(t, m, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 101, Cursor: 101}))
	return m
}

func TestWhatIsRetainedStaysThoughItIsFinished(t *testing.T) {
	m := retaining(t, newDisk(1))
	m.Reclaim()
	wantHeld(t, m)
	feed(t, m, topology(retainFrom(33)))
	wantHeld(t, m, rangeOf(1, 31))
	feed(t, m, topology(retainFrom(7))) // it does not go back
	m.Reclaim()
	wantHeld(t, m, rangeOf(1, 31))
	if got := contents(t, m, 1); len(got) != 68 { // 33 to 100
		t.Errorf("%d messages are retained", len(got))
	}
	feed(t, m, topology(retainFrom(0)))
	m.Reclaim()
	wantHeld(t, m, rangeOf(1, 96))
}

// What lies behind what is retained and is finished stays, wherever it lies; what lies
// before it goes, also where somebody owes what is before that.
func TestOneThatIsNotFinishedHoldsUpNothingElse(t *testing.T) {
	m := filled(t, newDisk(1), "c")
	feed(t, m, topology(retainFrom(1)),
		changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 3, Cursor: 101, Acked: []seqset.Range{rangeOf(4, 101)}}))
	m.Reclaim()
	wantHeld(t, m)
	feed(t, m, topology(retainFrom(51)))
	m.Reclaim()
	wantHeld(t, m, rangeOf(6, 51))
}

// A channel may be made to begin at what is retained, on every replica.
func TestChannelMayBeginAtWhatIsRetained(t *testing.T) {
	m := retaining(t, newDisk(1))
	feed(t, m, topology(retainFrom(41)))
	o := feed(t, m, topology(state.Entry{Op: state.CreateChannel, Topic: 1, Name: "late", Start: 1}))
	if e := o.Topology[0].Entry; e.Start != 41 {
		t.Errorf("it begins at %d", e.Start)
	}
	if got := contents(t, m, 1); len(got) != 60 {
		t.Errorf("%d messages", len(got))
	}
}

// What replicas may have given up before anything was retained is void.
func TestWhatWasGivenUpBeforeIsNotRetained(t *testing.T) {
	m := filled(t, newDisk(1), "c")
	feed(t, m, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 12, Cursor: 90, Acked: []seqset.Range{rangeOf(20, 50)}}))
	m.Reclaim()
	wantHeld(t, m, rangeOf(1, 11), rangeOf(21, 46))
	o := feed(t, m, topology(retainFrom(1)))
	if e := o.Topology[0].Entry; e.Start != 12 {
		t.Errorf("retained from %d on", e.Start)
	}
	void := []seqset.Range{rangeOf(20, 50)}
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	if !slices.Equal(v.State.Voids, void) {
		t.Errorf("voids %v", v.State.Voids)
	}
	contents(t, m, 1)
	// Who serves the topic learns that with the first channel that begins before it.
	feed(t, m, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 2, Floor: 101, Cursor: 101}))
	for _, e := range []state.Entry{{Op: state.RewindChannel, Topic: 1, Channel: 2, Start: 1}, {Op: state.CreateChannel, Topic: 1, Name: "late", Start: 1}} {
		if o := feed(t, m, topology(e)).Topology[0]; o.Entry.Start != 12 || !slices.Equal(o.Gone, void) {
			t.Errorf("operation %d begins at %d, without %v", e.Op, o.Entry.Start, o.Gone)
		}
	}
}

func TestWhatIsRetainedOutlivesAStopAndComesWithASnapshot(t *testing.T) {
	for name, crash := range crashes {
		disk := newDisk(1)
		m := retaining(t, disk)
		feed(t, m, topology(retainFrom(33)))
		_, err := m.Checkpoint()
		must(t, err)
		crash(disk)
		m = open(t, disk)
		m.Reclaim()
		wantHeld(t, m, rangeOf(1, 31))
		other := open(t, newDisk(2))
		must(t, install(other, framesFor(t, m, other.Ends())))
		other.Reclaim()
		same(t, other, m)
		if got := contents(t, other, 1); len(got) != 68 {
			t.Errorf("%s: the other has %d messages", name, len(got))
		}
	}
}

func TestHowMuchIsRetained(t *testing.T) {
	const now = int64(time.Hour)
	m := filled(t, newDisk(1), "c")
	want := func(keep Retention, now int64, from uint64, change bool) {
		t.Helper()
		got, changes, err := m.RetainFrom(1, keep, now)
		if must(t, err); got != from || changes != change {
			t.Errorf("%+v: %d, %v, want %d, %v", keep, got, changes, from, change)
		}
	}
	hour, bytes := Retention{Time: time.Hour}, Retention{Bytes: 10 << 10}
	want(Retention{}, now, 0, false)
	want(hour, now, 1, true)
	feed(t, m, topology(retainFrom(1)))
	want(Retention{}, now, 0, true)
	want(hour, 2*now, 1, false) // nothing is finished
	feed(t, m, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 101, Cursor: 101}))
	want(hour, now, 1, false) // they were published 7 ns after the beginning of time
	want(hour, now+7, 101, true)
	want(bytes, now, 91, true) // two segments of 3.6 KB
	want(Retention{Time: time.Hour, Bytes: 10 << 10}, now, 91, true)
	want(Retention{Bytes: 1 << 30}, 2*now, 1, false)
	if from, change := m.Unretained(1); from != 101 || !change {
		t.Errorf("without room: %d, %v", from, change)
	}
	if got := m.Retained(); !slices.Equal(got, []uint64{1}) {
		t.Errorf("%v", got)
	}
	if _, _, err := m.RetainFrom(9, hour, now); !errors.Is(err, ErrNoTopic) {
		t.Error(err)
	}
}

package machine

import (
	"slices"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

func rangeOf(from, to uint64) seqset.Range { return seqset.Range{From: from, To: to} }

// filled is a machine with a topic of 100 messages in segments of a few each, and
// channels.
func filled(t *testing.T, disk *crashfs.FS, channels ...string) *Machine {
	t.Helper()
	m := open(t, disk)
	feed(t, m, topology(createTopic("t")))
	for _, name := range channels {
		feed(t, m, topology(createChannel(1, name)))
	}
	for n := range uint64(100) {
		feed(t, m, publish(1, 7, n+1, string(make([]byte, 700))))
	}
	return m
}

// held is what the segments of the topic hold.
func held(t *testing.T, m *Machine) []seqset.Range {
	t.Helper()
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	var list []seqset.Range
	for _, e := range v.Log.Extents() {
		list = append(list, e.Numbers)
	}
	return seqset.Union(list)
}

func wantHeld(t *testing.T, m *Machine, lacks ...seqset.Range) {
	t.Helper()
	if got := seqset.Difference([]seqset.Range{rangeOf(1, 101)}, held(t, m)); !slices.Equal(got, lacks) {
		t.Errorf("the log lacks %v, want %v", got, lacks)
	}
}

func TestSegmentsGoByTheLowestAppliedFloor(t *testing.T) {
	m := filled(t, newDisk(1), "c", "d")
	floor := func(channel, version, at uint64) {
		feed(t, m, changes(state.ChannelChanges{Topic: 1, Channel: channel, Version: version, Floor: at, Cursor: at}))
	}
	wantHeld(t, m)
	floor(2, 1, 80)
	wantHeld(t, m)
	floor(3, 1, 52)
	wantHeld(t, m, rangeOf(1, 51)) // five to a segment
	feed(t, m, topology(state.Entry{Op: state.PauseTopic, Topic: 1, FanOut: 60}))
	floor(3, 2, 90)
	wantHeld(t, m, rangeOf(1, 56))
	feed(t, m, topology(state.Entry{Op: state.UnpauseTopic, Topic: 1}))
	wantHeld(t, m, rangeOf(1, 76))
	feed(t, m, topology(state.Entry{Op: state.DeleteChannel, Topic: 1, Channel: 2}))
	wantHeld(t, m, rangeOf(1, 86))
	feed(t, m, topology(state.Entry{Op: state.DeleteChannel, Topic: 1, Channel: 3}))
	wantHeld(t, m, rangeOf(1, 96)) // the fan-out stands at the end; the last segment goes on
}

func TestWithoutAChannelMessagesWaitForTheFirst(t *testing.T) {
	m := filled(t, newDisk(1))
	m.Reclaim()
	wantHeld(t, m)
	feed(t, m, topology(createChannel(1, "c")))
	if got := contents(t, m, 1); len(got) != 100 {
		t.Errorf("%d messages", len(got))
	}
}

func TestSegmentsInTheMiddleGoWhenNobodyOwesThem(t *testing.T) {
	m := filled(t, newDisk(1), "c", "d")
	feed(t, m, changes(
		state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 2, Cursor: 90, Acked: []seqset.Range{rangeOf(10, 50), rangeOf(60, 90)}},
		state.ChannelChanges{Topic: 1, Channel: 3, Version: 1, Floor: 30, Cursor: 70, Acked: []seqset.Range{rangeOf(40, 70)}},
	))
	wantHeld(t, m)
	_, err := m.Checkpoint()
	must(t, err)
	wantHeld(t, m, rangeOf(11, 26), rangeOf(41, 46), rangeOf(61, 66))
	if missing := m.Missing(); len(missing) > 0 {
		t.Errorf("%v", missing)
	}
	// A channel that comes now and starts below gets nothing that is gone, on no replica.
	o := feed(t, m, topology(state.Entry{Op: state.CreateChannel, Topic: 1, Name: "late", Start: 1}))
	if e := o.Topology[0].Entry; e.Start != 2 {
		t.Errorf("%+v", e)
	}
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	if !slices.Equal(v.State.Voids, []seqset.Range{rangeOf(10, 30), rangeOf(40, 50), rangeOf(60, 70)}) || len(m.Missing()) > 0 {
		t.Errorf("voids %v, missing %v", v.State.Voids, m.Missing())
	}
	contents(t, m, 1)
}

func TestVoidMessagesAreDoneForAllChannels(t *testing.T) {
	m := filled(t, newDisk(1), "c", "d")
	feed(t, m, topology(state.Entry{Op: state.VoidRange, Topic: 1, Void: rangeOf(0, 62)}))
	wantHeld(t, m, rangeOf(1, 61))
	feed(t, m, topology(state.Entry{Op: state.EmptyChannel, Topic: 1, Channel: 2}, state.Entry{Op: state.EmptyChannel, Topic: 1, Channel: 3}))
	wantHeld(t, m, rangeOf(1, 96))
}

func TestLastSegmentGoesWhenAllIsFinished(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk, func(o *Options) { o.SegmentBytes = 64 << 20 })
	feed(t, m, topology(createTopic("t"), createChannel(1, "c")), publish(1, 7, 1, string(make([]byte, idleBytes))))
	m.Reclaim()
	wantHeld(t, m, rangeOf(2, 101))
	feed(t, m, changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 2, Cursor: 2}))
	m.Reclaim()
	wantHeld(t, m, rangeOf(1, 101))
	if files := segments(disk); len(files) > 0 {
		t.Errorf("%v are left", files)
	}
}

// What a reclaim took since the checkpoint is not there after a stop, and is not
// needed once the entries are applied again.
func TestWhatWasReclaimedIsNotMissedAfterAStop(t *testing.T) {
	disk := newDisk(1)
	m := filled(t, disk, "c")
	_, err := m.Checkpoint()
	must(t, err)
	e := changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 52, Cursor: 60})
	feed(t, m, e)
	wantHeld(t, m, rangeOf(1, 51))
	disk.Kill()
	m = open(t, disk)
	if missing := m.Missing(); len(missing) != 1 || !slices.Equal(missing[0].Numbers, []seqset.Range{rangeOf(1, 51)}) {
		t.Errorf("%v", missing)
	}
	feed(t, m, e)
	if missing := m.Missing(); len(missing) > 0 {
		t.Errorf("%v", missing)
	}
	contents(t, m, 1)
}

func TestMissingMessagesAreToldOnce(t *testing.T) {
	disk := newDisk(1)
	m := filled(t, disk, "c")
	_, err := m.Checkpoint()
	must(t, err)
	must(t, m.Close())
	fs := disk.Mount()
	must(t, fs.Remove(dataDir+"/replicated/3/t-0000000000000001/0000000000000015.seg"))
	must(t, fs.Remove(dataDir+"/replicated/3/t-0000000000000001/0000000000000015.idx"))
	var found []seqset.Range
	m = open(t, disk, func(o *Options) {
		o.Found = func(f Finding) { found = append(found, f.Range) }
	})
	for n := range uint64(3) {
		feed(t, m, publish(1, 7, 101+n, "more"))
		_, err := m.Checkpoint()
		must(t, err)
		if n == 0 && len(found) > 0 {
			t.Error("told before what was applied is applied again")
		}
	}
	if !slices.Equal(found, []seqset.Range{rangeOf(21, 26)}) {
		t.Errorf("told of %v", found)
	}
}

func TestUnknownDirectoriesAreKept(t *testing.T) {
	disk := newDisk(1)
	m := filled(t, disk, "c")
	fs := disk.Mount()
	topics := dataDir + "/replicated/3/"
	for _, dir := range []string{"x-00000000000000ff", "x-0000000000000001", "notes", ".deleted-t-0000000000000009"} {
		must(t, fs.MkdirAll(topics+dir))
		f, err := fs.Create(topics + dir + "/file")
		must(t, err)
		f.Close()
	}
	_, err := m.Checkpoint()
	must(t, err)
	if len(m.told) != 2 || !m.told["notes"] || !m.told["x-0000000000000001"] { // ff may come yet
		t.Errorf("told of %v", m.told)
	}
	must(t, m.Close())
	m = open(t, disk)
	wantHeld(t, m)
	entries, err := fs.ReadDir(topics)
	must(t, err)
	if len(entries) != 4 {
		t.Errorf("%v", entries)
	}
}

func TestDeletedTopicIsGoneAlsoAfterAStop(t *testing.T) {
	for name, crash := range crashes {
		disk := newDisk(1)
		m := filled(t, disk, "c")
		_, err := m.Checkpoint()
		must(t, err)
		feed(t, m, topology(state.Entry{Op: state.DeleteTopic, Topic: 1}, createTopic("t")))
		if files := segments(disk); len(files) > 0 {
			t.Errorf("%s: %v are left", name, files)
		}
		_, err = m.Checkpoint()
		must(t, err)
		crash(disk)
		m = open(t, disk)
		if id, ok := m.Incarnation("t"); !ok || id != 3 || len(segments(disk)) > 0 {
			t.Errorf("%s: %d, %v; %v", name, id, ok, segments(disk))
		}
	}
}

package machine

import (
	"bytes"
	"errors"
	"maps"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
)

func TestPublishIsAppliedOnceInTheOrderOfItsOrigin(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t"), createTopic("u")))
	wantStatuses(t, feed(t, m, publish(1, 7, 1, "a", "b")), Applied)
	wantStatuses(t, feed(t, m, publish(1, 7, 1, "a", "b")), Duplicate)
	wantStatuses(t, feed(t, m, publish(1, 7, 3, "d")), Gap)
	wantStatuses(t, feed(t, m, publish(1, 8, 1, "c")), Applied)
	wantStatuses(t, feed(t, m, publish(2, 7, 1, "x")), Applied)
	wantStatuses(t, feed(t, m, publish(9, 7, 1, "x")), NoTopic)
	o := feed(t, m, &entry.Entry{Parts: []entry.Part{
		part(1, 7, 1, 2), part(1, 7, 1, 3, "d"), part(1, 7, 1, 3, "d"), part(1, 7, 1, 5, "f"), part(1, 7, 2, 1, "e"), part(1, 7, 1, 4, "old"), part(1, 7, 3, 2, "gap"),
	}})
	wantStatuses(t, o, Applied, Applied, Duplicate, Gap, Applied, OldEpoch, Gap)
	if a := o.Parts[0].Added; a.First != a.End || a.First != 4 {
		t.Errorf("an empty batch added %+v", a)
	}
	if epoch, last := m.Row(1, 7); epoch != 2 || last != 1 {
		t.Errorf("epoch %d, last %d", epoch, last)
	}
	want := map[uint64]string{1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}
	if got := contents(t, m, 1); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestOutcomeTellsNumbersMarksAndBytes(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")))
	b := batchOf("a", "bc")
	b.Add(&message.Meta{Timestamp: 1, DeliverAt: 99}, []byte("later"))
	e := &entry.Entry{Parts: []entry.Part{part(1, 5, 1, 1, "first"), {Topic: 1, Origin: entry.Origin{Member: 6, Epoch: 1, Number: 1}, Batch: b}}}
	o := feed(t, m, e)
	if p := o.Parts[1]; p.Added.First != 2 || p.Added.End != 5 || p.Bytes != 8 || len(p.Added.Marks) != 1 || p.Added.Marks[0] != (message.Mark{Seq: 4, DeliverAt: 99}) {
		t.Errorf("%+v", p)
	}
	if again, err := m.Apply(2, 1, e.AppendTo(nil)); err != nil || !again.Repeated {
		t.Errorf("applied again: %+v, %v", again, err)
	}
	if _, err := m.Apply(4, 1, nil); err == nil {
		t.Error("an entry was left out")
	}
	if _, err := m.Apply(3, 2, nil); err != nil {
		t.Error(err)
	}
	if index, term := m.Applied(); index != 3 || term != 2 {
		t.Errorf("applied %d of term %d", index, term)
	}
}

func TestTopologyIsFilledInWhenItIsApplied(t *testing.T) {
	m := open(t, newDisk(1))
	o := feed(t, m, topology(createTopic("t"), createTopic("t"), createTopic("a b"), createTopic("e#ephemeral"), state.Entry{Op: state.CreateTopic, Name: "u", Topic: 9, FanOut: 50}))
	want := []TopologyOutcome{
		{state.Entry{Op: state.CreateTopic, Topic: 1, Name: "t", FanOut: 1}, Done, nil},
		{state.Entry{Op: state.CreateTopic, Topic: 1, Name: "t"}, Exists, nil},
		{state.Entry{Op: state.CreateTopic, Topic: 2, Name: "a b"}, Refused, nil},
		{state.Entry{Op: state.CreateTopic, Topic: 2, Name: "e#ephemeral"}, Refused, nil},
		{state.Entry{Op: state.CreateTopic, Topic: 9, Name: "u", FanOut: 50}, Done, nil},
	}
	wantTopology(t, o, want)
	o = feed(t, m, topology(createTopic("v"), createChannel(1, "c"), createChannel(1, "c"), createChannel(7, "c"),
		state.Entry{Op: state.GiveUp, Topic: 1, Void: seqset.Range{To: 9}}, state.Entry{Op: state.PauseChannel, Topic: 1, Channel: 5}))
	want = []TopologyOutcome{
		{state.Entry{Op: state.CreateTopic, Topic: 10, Name: "v", FanOut: 50}, Done, nil},
		{state.Entry{Op: state.CreateChannel, Topic: 1, Channel: 11, Name: "c", Start: 1}, Done, nil},
		{state.Entry{Op: state.CreateChannel, Topic: 1, Channel: 11, Name: "c"}, Exists, nil},
		{state.Entry{Op: state.CreateChannel, Topic: 7, Name: "c"}, Gone, nil},
		{state.Entry{Op: state.GiveUp, Topic: 1, Void: seqset.Range{To: 9}}, Refused, nil},
		{state.Entry{Op: state.PauseChannel, Topic: 1, Channel: 5}, Gone, nil},
	}
	wantTopology(t, o, want)
	if n := m.MaxIncarnation(); n != 11 {
		t.Errorf("highest incarnation %d", n)
	}
}

func wantTopology(t *testing.T, o Outcome, want []TopologyOutcome) {
	t.Helper()
	if len(o.Topology) != len(want) {
		t.Fatalf("%d outcomes", len(o.Topology))
	}
	for i, got := range o.Topology {
		if got.Entry != want[i].Entry || got.Result != want[i].Result {
			t.Errorf("%d: %+v, want %+v", i, got, want[i])
		}
	}
}

func TestNumbersAreGivenOnceInAShard(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")), publish(1, 7, 1, "a", "b", "c"), topology(state.Entry{Op: state.DeleteTopic, Topic: 1}, createTopic("t")))
	if id, ok := m.Incarnation("t"); !ok || id != 2 {
		t.Fatalf("incarnation %d, %v", id, ok)
	}
	if o := feed(t, m, publish(2, 7, 1, "d")); o.Parts[0].Added.First != 4 {
		t.Errorf("%+v", o)
	}
	o := feed(t, m, &entry.Entry{Jump: entry.Jump{Number: 100, Incarnation: 40}})
	if !o.Jumped {
		t.Errorf("%+v", o)
	}
	if o := feed(t, m, publish(2, 7, 2, "e")); o.Parts[0].Added.First != 100 {
		t.Errorf("%+v", o)
	}
	if o := feed(t, m, topology(createTopic("u"))); o.Topology[0].Entry.FanOut != 101 || o.Topology[0].Entry.Topic != 41 {
		t.Errorf("%+v", o)
	}
	v, err := m.Topic(2)
	must(t, err)
	defer v.Release()
	if len(v.State.Voids) != 1 || v.State.Voids[0] != (seqset.Range{From: 5, To: 100}) || v.Next != 101 || v.Log.End() != 101 {
		t.Errorf("%+v, next %d, end %d", v.State.Voids, v.Next, v.Log.End())
	}
}

func TestWhatAnotherTermMadeDoesNotCount(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t"), createChannel(1, "c")), publish(1, 7, 1, "a", "b"))
	e := changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 2, Cursor: 3})
	e.Term, e.Topology = 4, []state.Entry{{Op: state.PauseTopic, Topic: 1}}
	e.Parts = []entry.Part{part(1, 7, 1, 2, "c")}
	before, _ := m.Applied()
	o, err := m.Apply(before+1, 5, e.AppendTo(nil))
	must(t, err)
	if wantStatuses(t, o, Applied); !o.StaleTerm || len(o.Topology) > 0 {
		t.Errorf("%+v", o)
	}
	if got := contents(t, m, 1); len(got) != 3 {
		t.Errorf("%v are owed", got)
	}
	e.Parts = nil
	o, err = m.Apply(before+2, 4, e.AppendTo(nil))
	must(t, err)
	if got := contents(t, m, 1); o.StaleTerm || len(got) != 2 {
		t.Errorf("%+v; %v are owed", o, got)
	}
}

func TestEntriesThatCannotBeAppliedStopTheShard(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")))
	before := encoded(m)
	bad := entry.Part{Topic: 1, Origin: entry.Origin{Member: 1, Epoch: 1, Number: 1}, Count: 1, Records: []byte("no record, and long enough to be one")}
	for name, b := range map[string][]byte{
		"unknown":           {77},
		"malformed":         {1, 9},
		"malformed records": (&entry.Entry{Parts: []entry.Part{part(1, 2, 1, 1, "x"), bad}}).AppendTo(nil),
		"malformed changes": (&entry.Entry{Parts: []entry.Part{part(1, 2, 1, 1, "x")}, Changes: [][]byte{{0x99, 2}}}).AppendTo(nil),
	} {
		_, err := m.Apply(2, 1, b)
		if !errors.Is(err, entry.ErrUnknownEntry) && !errors.Is(err, entry.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(encoded(m), before) {
			t.Errorf("%s: the state has changed", name)
		}
	}
	feed(t, m, publish(1, 2, 1, "y"))
	if got := contents(t, m, 1); got[1] != "y" {
		t.Errorf("%v", got)
	}
}

func TestFullDiskAppliesNothingOfAnEntryUntilThereIsRoom(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t"), createTopic("u")), publish(1, 7, 1, "a"), publish(2, 7, 1, "b"))
	later := batchOf("c")
	later.Add(&message.Meta{Timestamp: 1, DeliverAt: 50}, []byte("d"))
	e := &entry.Entry{
		Parts: []entry.Part{
			{Topic: 1, Origin: entry.Origin{Member: 7, Epoch: 1, Number: 2}, Batch: later},
			part(2, 7, 1, 2, string(make([]byte, 9000))),
		},
		Topology: []state.Entry{createTopic("v")},
	}
	before := encoded(m)
	disk.Limit(disk.Used() + 8000)
	for range 3 {
		if _, err := m.Apply(4, 1, e.AppendTo(nil)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if !bytes.Equal(encoded(m), before) {
			t.Fatal("the state has changed")
		}
	}
	if v, err := m.Topic(1); err != nil || v.Next != 2 {
		t.Errorf("next %d, %v", v.Next, err)
	}
	disk.Limit(1 << 40)
	o, err := m.Apply(4, 1, e.AppendTo(nil))
	must(t, err)
	if p := o.Parts[0]; p.Added.First != 2 || p.Added.End != 4 || len(p.Added.Marks) != 1 || p.Added.Marks[0].Seq != 3 {
		t.Errorf("%+v", p)
	}
	want := open(t, newDisk(2))
	feed(t, want, topology(createTopic("t"), createTopic("u")), publish(1, 7, 1, "a"), publish(2, 7, 1, "b"), e)
	same(t, m, want)
}

func TestRowsGoWithTheMember(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t")), publish(1, 7, 1, "a"), publish(1, 8, 1, "b"))
	must(t, m.SetMembers(4, 2, []byte("members"), []uint64{8, 9}))
	if epoch, last := m.Row(1, 7); epoch != 0 || last != 0 {
		t.Errorf("epoch %d, last %d", epoch, last)
	}
	if epoch, last := m.Row(1, 8); epoch != 1 || last != 1 {
		t.Errorf("epoch %d, last %d", epoch, last)
	}
	wantStatuses(t, feed(t, m, publish(1, 7, 1, "a")), Gap)
	wantStatuses(t, feed(t, m, publish(1, 9, 1, "c")), Applied)
	_, err := m.Checkpoint()
	must(t, err)
	must(t, m.Close())
	m = open(t, disk)
	wantStatuses(t, feed(t, m, publish(1, 7, 1, "a")), Gap)
	wantStatuses(t, feed(t, m, publish(1, 8, 2, "d")), Applied)
	if string(m.Members()) != "members" {
		t.Errorf("members %q", m.Members())
	}
}

func TestOnlyAServedTopicKeepsMessagesInMemory(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")), publish(1, 7, 1, "a"))
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	wantHot := func(from uint64) {
		t.Helper()
		if at := v.Log.HotStart(); at != from {
			t.Errorf("in memory from %d on, want %d", at, from)
		}
	}
	wantHot(2)
	m.SetServed(1, true)
	feed(t, m, publish(1, 7, 2, "b", "c"))
	wantHot(2)
	m.SetServed(1, false)
	wantHot(4)
	feed(t, m, publish(1, 7, 3, "d"))
	wantHot(5)
}

func TestViewIsApartFromWhatIsAppliedLater(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t"), createChannel(1, "c")), publish(1, 7, 1, "a", "b"))
	v, err := m.Topic(1)
	must(t, err)
	feed(t, m, publish(1, 7, 2, "c"), changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 3, Cursor: 3}), topology(state.Entry{Op: state.DeleteTopic, Topic: 1}))
	if v.Index != 2 || v.Next != 3 || v.State.Floor() != 1 || v.State.Channels[2].Cursor != 1 {
		t.Errorf("%+v %+v", v, v.State)
	}
	r := v.Log.NewReader()
	if view, err := r.Read(2); err != nil || string(view.Body) != "b" {
		t.Errorf("%q, %v", view.Body, err)
	}
	r.Release()
	if _, err := m.Topic(1); !errors.Is(err, ErrNoTopic) {
		t.Error(err)
	}
	v.Release()
	if files := segments(disk); len(files) > 0 {
		t.Errorf("%v are left", files)
	}
}

// segments lists the files of logs.
func segments(disk *crashfs.FS) (list []string) {
	for _, f := range disk.Files() {
		if bytes.Contains([]byte(f.Name), []byte("/replicated/")) {
			list = append(list, f.Name)
		}
	}
	return list
}

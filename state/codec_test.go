package state

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/seqset"
)

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	e, d := NewEncoder(), NewDecoder()
	number := rapid.Uint64Range(0, 1<<54)
	rapid.Check(t, func(rt *rapid.T) {
		want := ChannelChanges{
			Topic: rapid.Uint64().Draw(rt, "topic"), Channel: rapid.Uint64().Draw(rt, "channel"),
			Version: rapid.Uint64().Draw(rt, "version"), Full: rapid.Bool().Draw(rt, "full"),
			Floor: number.Draw(rt, "floor"), Cursor: number.Draw(rt, "cursor"),
		}
		for range rapid.IntRange(0, 5).Draw(rt, "runs") {
			from := number.Draw(rt, "from")
			want.Acked = append(want.Acked, seqset.Range{From: from, To: from + number.Draw(rt, "size") + 1})
		}
		for range rapid.IntRange(0, 5).Draw(rt, "open") {
			want.Open = append(want.Open, OpenMessage{
				Seq: number.Draw(rt, "seq"), Attempts: rapid.Uint16().Draw(rt, "attempts"), Due: rapid.Int64().Draw(rt, "due"),
			})
		}
		got, err := d.Changes(e.Changes(want))
		must(rt, err)
		if !slices.Equal(got.Acked, want.Acked) || !slices.Equal(got.Open, want.Open) {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
		got.Acked, got.Open, want.Acked, want.Open = nil, nil, nil, nil
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	want := []Entry{
		createTopic(1, "ü.#ephemeral"),
		{Op: EmptyTopic, Topic: 1, FanOut: 1 << 53, Void: seqset.Range{From: 3, To: 1 << 53}},
		{Op: CreateChannel, Topic: 1, Channel: ^uint64(0), Name: "c", Start: 7},
		{Op: ConfigureChannel, Topic: 1, Channel: 2, Name: `{"rate":5}`},
	}
	got, err := NewDecoder().Entries(NewEncoder().Entries(want))
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
}

func TestTypicalChangesAreSmall(t *testing.T) {
	const floor = 1 << 53
	ch := ChannelChanges{Topic: 1, Channel: 2, Version: 3, Floor: floor, Cursor: floor + 5000}
	for i := range uint64(100) {
		ch.Acked = append(ch.Acked, seqset.Range{From: floor + i*40 + 1, To: floor + i*40 + 30})
		ch.Open = append(ch.Open, OpenMessage{Seq: floor + i*40, Attempts: 2, Due: 1_800_000_000_000 + int64(i)*10})
	}
	if n := len(NewEncoder().Changes(ch)); n > 600 {
		t.Errorf("%d bytes for 100 runs and 100 open messages", n)
	}
}

func TestEncodingChangesAllocatesNothing(t *testing.T) {
	e, ch := NewEncoder(), thousandRuns()
	e.Changes(ch)
	if n := testing.AllocsPerRun(100, func() { e.Changes(ch) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOlderVersionsChangeNothing(t *testing.T) {
	st := New()
	st.Apply(createTopic(1, "t"))
	st.Apply(createChannel(1, 2, "c"))
	changes := []ChannelChanges{
		{Topic: 1, Channel: 2, Version: 1, Floor: 100, Cursor: 110, Acked: []seqset.Range{{From: 103, To: 105}},
			Open: []OpenMessage{{Seq: 101, Attempts: 2}, {Seq: 102, Attempts: 3, Due: 5}}},
		{Topic: 1, Channel: 2, Version: 2, Floor: 102, Cursor: 112, Open: []OpenMessage{{Seq: 106, Attempts: 1}}},
		{Topic: 1, Channel: 2, Version: 3, Full: true, Floor: 103, Cursor: 112, Open: []OpenMessage{{Seq: 106, Attempts: 4}}},
	}
	for _, ch := range changes {
		st.ApplyChanges(ch)
	}
	want := st.Channel(1, 2).Snapshot(1)
	for _, ch := range changes {
		st.ApplyChanges(ch)
	}
	if got := st.Channel(1, 2).Snapshot(1); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want.Floor != 103 || len(want.Acked) != 0 || !slices.Equal(want.Open, []OpenMessage{{Seq: 106, Attempts: 4}}) {
		t.Errorf("full changes did not replace the state: %+v", want)
	}
}

func TestEntriesOfDeletedIncarnationsTouchNobody(t *testing.T) {
	st := New()
	st.Apply(createTopic(1, "t"))
	st.Apply(createChannel(1, 2, "c"))
	st.Apply(Entry{Op: DeleteChannel, Topic: 1, Channel: 2, FanOut: 140})
	st.Apply(createChannel(1, 3, "c"))
	st.Apply(Entry{Op: PauseChannel, Topic: 1, Channel: 2})
	st.Apply(Entry{Op: EmptyChannel, Topic: 1, Channel: 2, FanOut: 200})
	st.Apply(Entry{Op: PauseTopic, Topic: 9})
	st.ApplyChanges(ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 150})
	st.ApplyChanges(ChannelChanges{Topic: 9, Channel: 3, Version: 1, Floor: 150})
	c := st.Channel(1, 3)
	c.Materialise()
	if c.Paused || c.Acked.Floor() != 100 || st.Topics[1].FanOut != 200 || len(st.Topics) != 1 || st.MaxIncarnation != 9 {
		t.Errorf("got %+v of %+v", c, st)
	}
}

func TestOlderTopicOfTheSameNameIsForgotten(t *testing.T) {
	st := New()
	st.Apply(createTopic(1, "t"))
	st.Apply(createTopic(2, "t")) // the deletion of 1 was lost
	st.Apply(createChannel(2, 5, "c"))
	st.Apply(createChannel(2, 4, "c"))
	st.Finish()
	if len(st.Topics) != 1 || st.Channel(2, 5) == nil || st.Channel(2, 4) != nil {
		t.Fatalf("got %+v", st.Topics)
	}
}

// thousandRuns is a delta of 1,000 runs of acknowledged messages.
func thousandRuns() ChannelChanges {
	ch := ChannelChanges{Topic: 1, Channel: 2, Version: 3, Floor: 1 << 53, Cursor: 1<<53 + 1<<20}
	for i := range uint64(1000) {
		ch.Acked = append(ch.Acked, seqset.Range{From: ch.Floor + i*100, To: ch.Floor + i*100 + 50})
	}
	return ch
}

func BenchmarkEncodeChangesWithThousandRuns(b *testing.B) {
	e, ch := NewEncoder(), thousandRuns()
	b.ReportAllocs()
	for b.Loop() {
		e.Changes(ch)
	}
}

func createTopic(id uint64, name string) Entry {
	return Entry{Op: CreateTopic, Topic: id, Name: name, FanOut: 100}
}

func createChannel(topic, id uint64, name string) Entry {
	return Entry{Op: CreateChannel, Topic: topic, Channel: id, Name: name, Start: 100}
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSettingsAreInTheRecordOfATopic(t *testing.T) {
	st := New()
	st.Apply(createTopic(1, "t"))
	st.Apply(createChannel(1, 2, "c"))
	st.Apply(Entry{Op: ConfigureTopic, Topic: 1, Name: "of t"})
	st.Apply(Entry{Op: ConfigureChannel, Topic: 1, Channel: 2, Name: "of c"})
	st.Apply(Entry{Op: ConfigureTopic, Topic: 9, Name: "of nobody"})
	got, err := NewDecoder().Topic(NewEncoder().Topic(st.Topics[1].Clone()))
	must(t, err)
	if got.Settings != "of t" || got.Channels[2].Settings != "of c" {
		t.Errorf("got %+v", got)
	}
	st.PutTopic(got)
	st.Apply(Entry{Op: ConfigureTopic, Topic: 1})
	if st.Topics[1].Settings != "" || st.Channel(1, 2).Settings != "of c" {
		t.Errorf("after a reset: %+v", st.Topics[1])
	}
}

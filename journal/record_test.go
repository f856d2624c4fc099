package journal

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/seqset"
)

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	e, d := newEncoder(), newDecoder()
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
		got, err := d.changes(e.changes(want))
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
	}
	got, err := newDecoder().entries(newEncoder().commit(want))
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
	if n := len(newEncoder().changes(ch)); n > 600 {
		t.Errorf("%d bytes for 100 runs and 100 open messages", n)
	}
}

func TestEncodingChangesAllocatesNothing(t *testing.T) {
	e, ch := newEncoder(), thousandRuns()
	e.changes(ch)
	if n := testing.AllocsPerRun(100, func() { e.changes(ch) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOlderVersionsChangeNothing(t *testing.T) {
	st := newState()
	st.apply(createTopic(1, "t"))
	st.apply(createChannel(1, 2, "c"))
	changes := []ChannelChanges{
		{Topic: 1, Channel: 2, Version: 1, Floor: 100, Cursor: 110, Acked: []seqset.Range{{From: 103, To: 105}},
			Open: []OpenMessage{{Seq: 101, Attempts: 2}, {Seq: 102, Attempts: 3, Due: 5}}},
		{Topic: 1, Channel: 2, Version: 2, Floor: 102, Cursor: 112, Open: []OpenMessage{{Seq: 106, Attempts: 1}}},
		{Topic: 1, Channel: 2, Version: 3, Full: true, Floor: 103, Cursor: 112, Open: []OpenMessage{{Seq: 106, Attempts: 4}}},
	}
	for _, ch := range changes {
		st.changes(ch)
	}
	want := st.channel(1, 2).snapshot(1)
	for _, ch := range changes {
		st.changes(ch)
	}
	if got := st.channel(1, 2).snapshot(1); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want.Floor != 103 || len(want.Acked) != 0 || !slices.Equal(want.Open, []OpenMessage{{Seq: 106, Attempts: 4}}) {
		t.Errorf("full changes did not replace the state: %+v", want)
	}
}

func TestReplayingALogTwiceIsReplayingItOnce(t *testing.T) {
	fsys, s := writtenLog(t)
	b, err := fsys.ReadFile(logName(1))
	must(t, err)
	must(t, fsys.WriteFile(logName(2), b))
	j, st := openJournal(t, fsys)
	defer j.Close()
	wantChannel(t, st, s)
	if len(st.Topics) != 2 {
		t.Errorf("%d topics", len(st.Topics))
	}
}

func TestEntriesOfDeletedIncarnationsTouchNobody(t *testing.T) {
	st := newState()
	st.apply(createTopic(1, "t"))
	st.apply(createChannel(1, 2, "c"))
	st.apply(Entry{Op: DeleteChannel, Topic: 1, Channel: 2, FanOut: 140})
	st.apply(createChannel(1, 3, "c"))
	st.apply(Entry{Op: PauseChannel, Topic: 1, Channel: 2})
	st.apply(Entry{Op: EmptyChannel, Topic: 1, Channel: 2, FanOut: 200})
	st.apply(Entry{Op: PauseTopic, Topic: 9})
	st.changes(ChannelChanges{Topic: 1, Channel: 2, Version: 1, Floor: 150})
	st.changes(ChannelChanges{Topic: 9, Channel: 3, Version: 1, Floor: 150})
	c := st.channel(1, 3)
	c.materialise()
	if c.Paused || c.Acked.Floor() != 100 || st.Topics[1].FanOut != 200 || len(st.Topics) != 1 || st.MaxIncarnation != 9 {
		t.Errorf("got %+v of %+v", c, st)
	}
}

func TestVoidsMerge(t *testing.T) {
	var voids []seqset.Range
	for _, r := range []seqset.Range{{From: 10, To: 20}, {From: 40, To: 50}, {From: 5, To: 5}, {From: 20, To: 25}, {From: 30, To: 31}, {From: 24, To: 41}, {From: 60, To: 70}} {
		voids = addVoid(voids, r)
	}
	if want := []seqset.Range{{From: 10, To: 50}, {From: 60, To: 70}}; !slices.Equal(voids, want) {
		t.Errorf("got %v, want %v", voids, want)
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
	e, ch := newEncoder(), thousandRuns()
	b.ReportAllocs()
	for b.Loop() {
		e.changes(ch)
	}
}

// A million acknowledgements out of order, in deltas of 1,000 runs of one.
func BenchmarkReplayMillionAcks(b *testing.B) {
	const deltas, acks = 1000, 1000
	e := newEncoder()
	log := appendHeader(nil, 1)
	log = appendFrame(log, 1, e.commit([]Entry{createTopic(1, "t"), createChannel(1, 2, "c")}))
	for v := range uint64(deltas) {
		ch := ChannelChanges{Topic: 1, Channel: 2, Version: v + 1, Floor: 100, Cursor: 100 + (v+1)*acks*2}
		for i := range uint64(acks) {
			seq := 101 + v*acks*2 + i*2
			ch.Acked = append(ch.Acked, seqset.Range{From: seq, To: seq + 1})
		}
		log = appendFrame(log, 1, e.changes(ch))
	}
	for b.Loop() {
		r := newReplay(nil, "", "", quiet())
		r.scan(&source{name: "log", bytes: log, version: version, readLog: readLog{salt: 1}})
		if r.state.channel(1, 2).Version != deltas {
			b.Fatal("not replayed")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(deltas*acks), "ns/ack")
}

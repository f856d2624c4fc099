package journal

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/state"
)

const testDir = "/data/journal"

// testSource is a channel that keeps its state in plain maps.
type testSource struct {
	mu             sync.Mutex
	journal        *Journal // nil: never marks
	topic, channel uint64
	version        uint64
	floor, cursor  uint64
	acked          map[uint64]bool
	open           map[uint64]state.OpenMessage
	newAcks        []uint64
	newOpen        map[uint64]state.OpenMessage
	marked         bool
	asked          []bool // the arguments of Changes
	during         func() // called in Changes
}

func newTestSource(j *Journal, topic, channel, start uint64) *testSource {
	return &testSource{
		journal: j, topic: topic, channel: channel, floor: start, cursor: start,
		acked: map[uint64]bool{}, open: map[uint64]state.OpenMessage{}, newOpen: map[uint64]state.OpenMessage{},
	}
}

func (s *testSource) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if !s.marked && s.journal != nil {
		s.marked = true
		s.journal.Mark(s)
	}
}

func (s *testSource) ack(seqs ...uint64) {
	s.change(func() {
		for _, seq := range seqs {
			if seq < s.floor || s.acked[seq] {
				continue
			}
			s.acked[seq] = true
			s.newAcks = append(s.newAcks, seq)
			s.cursor = max(s.cursor, seq+1)
			delete(s.open, seq)
			delete(s.newOpen, seq)
		}
		for s.acked[s.floor] {
			delete(s.acked, s.floor)
			s.floor++
		}
	})
}

func (s *testSource) requeue(o state.OpenMessage) {
	s.change(func() {
		if o.Seq >= s.floor && !s.acked[o.Seq] {
			s.open[o.Seq], s.newOpen[o.Seq] = o, o
			s.cursor = max(s.cursor, o.Seq+1)
		}
	})
}

func (s *testSource) empty(fanOut uint64) {
	var all []uint64
	for seq := s.floor; seq < fanOut; seq++ {
		all = append(all, seq)
	}
	s.ack(all...)
}

func (s *testSource) Changes(full bool) state.ChannelChanges {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	ch := s.snapshot()
	if !full {
		ch.Full = false
		ch.Acked = runs(s.newAcks, s.floor)
		ch.Open = slices.Collect(maps.Values(s.newOpen))
	}
	s.newAcks, s.marked = nil, false
	clear(s.newOpen)
	s.asked = append(s.asked, full)
	if f := s.during; f != nil {
		s.during = nil
		s.mu.Unlock()
		f()
		s.mu.Lock()
	}
	return ch
}

func (s *testSource) Snapshot() state.ChannelChanges {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *testSource) snapshot() state.ChannelChanges {
	open := slices.SortedFunc(maps.Values(s.open), func(a, b state.OpenMessage) int { return cmp.Compare(a.Seq, b.Seq) })
	return state.ChannelChanges{
		Topic: s.topic, Channel: s.channel, Version: s.version, Full: true,
		Floor: s.floor, Cursor: s.cursor,
		Acked: runs(slices.Collect(maps.Keys(s.acked)), s.floor),
		Open:  open,
	}
}

func (s *testSource) calls() []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// runs makes ranges of the numbers not below floor.
func runs(seqs []uint64, floor uint64) (ranges []seqset.Range) {
	slices.Sort(seqs)
	for _, seq := range seqs {
		if n := len(ranges); n > 0 && ranges[n-1].To == seq {
			ranges[n-1].To++
		} else if seq >= floor {
			ranges = append(ranges, seqset.Range{From: seq, To: seq + 1})
		}
	}
	return ranges
}

// wantChannel compares what was replayed with the source.
func wantChannel(t fataler, st *Found, s *testSource) {
	t.Helper()
	c := st.State.Channel(s.topic, s.channel)
	if c == nil {
		t.Fatalf("channel %d/%d is not there", s.topic, s.channel)
	}
	got := c.Snapshot(s.topic)
	want := s.Snapshot()
	if got.Floor != want.Floor || got.Cursor != want.Cursor ||
		!slices.Equal(got.Acked, want.Acked) || !slices.Equal(got.Open, want.Open) {
		t.Fatalf("channel %d/%d:\n got %+v\nwant %+v", s.topic, s.channel, got, want)
	}
}

// openJournal opens the journal and checks that Read found the same before, and
// that nothing of it breaks an invariant.
func openJournal(t testing.TB, fsys vfs.FS, adjust ...func(*Options)) (*Journal, *Found) {
	t.Helper()
	o := Options{FS: fsys, Dir: testDir, Logger: quiet()}
	for _, f := range adjust {
		f(&o)
	}
	read := o
	read.FS = vfs.ReadOnly(fsys)
	before, err := Read(read)
	must(t, err)
	j, found, err := Open(o)
	must(t, err)
	wantSame(t, before, found)
	wantSound(t, found)
	must(t, j.Settle())
	return j, found
}

// wantSame compares what was found in a journal's files at two times.
func wantSame(t fataler, before, now *Found) {
	t.Helper()
	if asText(before) != asText(now) {
		t.Fatalf("read %+v, opened %+v", before, now)
	}
	for id, topic := range now.State.Topics {
		for cid, c := range topic.Channels {
			was := before.State.Channel(id, cid)
			if was == nil || !reflect.DeepEqual(was.Snapshot(id), c.Snapshot(id)) {
				t.Fatalf("channel %d/%d: read %+v, opened %+v", id, cid, was, c)
			}
		}
	}
}

// asText is all that was found but for the state of channels, as text.
func asText(f *Found) string {
	var out strings.Builder
	for _, id := range slices.Sorted(maps.Keys(f.State.Topics)) {
		t := *f.State.Topics[id]
		channels := slices.Sorted(maps.Keys(t.Channels))
		t.Channels = nil
		fmt.Fprintf(&out, "%+v %v\n", t, channels)
	}
	is := *f
	is.State = nil
	fmt.Fprintf(&out, "%+v %v %v %v %d", is, f.State.Deleted, f.State.DeletedChannels, f.State.Acknowledged, f.State.MaxIncarnation)
	return out.String()
}

// wantSound checks the invariants, and that what is missing is named.
func wantSound(t fataler, found *Found) {
	t.Helper()
	var lost int64
	for _, d := range found.Damage {
		lost += d.Bytes
		if d.File == "" || d.Error() == "" {
			t.Fatalf("nothing is told of %+v", d)
		}
	}
	if lost != found.LostBytes || found.Incomplete && len(found.Damage) == 0 {
		t.Fatalf("%d bytes are lost, incomplete %v; told is %v", found.LostBytes, found.Incomplete, found.Damage)
	}
	for _, flaw := range found.State.Check() {
		t.Fatalf("%v", flaw)
	}
}

func synced(o *Options) { o.SyncTopology = true }

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func createTopic(id uint64, name string) state.Entry {
	return state.Entry{Op: state.CreateTopic, Topic: id, Name: name, FanOut: 100}
}

func createChannel(topic, id uint64, name string) state.Entry {
	return state.Entry{Op: state.CreateChannel, Topic: topic, Channel: id, Name: name, Start: 100}
}

// withChannel commits a topic 1 with a channel 2 and attaches its source.
func withChannel(t testing.TB, j *Journal) *testSource {
	t.Helper()
	must(t, j.Commit(createTopic(1, "t"), createChannel(1, 2, "c")))
	s := newTestSource(j, 1, 2, 100)
	j.Attach(s)
	return s
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fataler is what testing and rapid have in common.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

package state

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"qmq/internal/seqset"
)

// countingSource is a channel whose numbers are finished one after the other,
// but for every third, which is given out and stays open.
type countingSource struct {
	topic, channel uint64
	version        uint64
	given, told    uint64 // numbers; told: before the last Changes
	asked          []bool // the arguments of Changes
	rewinding      *Entry // that it does not know of yet
	anew           bool   // it tells all next time
}

// rewound has the source know that it was rewound.
func (s *countingSource) rewound() {
	if e := s.rewinding; e != nil {
		s.version, s.given, s.anew, s.rewinding = e.Void.From, e.Start, true, nil
	}
}

func (s *countingSource) since(from uint64) (ch ChannelChanges) {
	ch = ChannelChanges{Topic: s.topic, Channel: s.channel, Version: s.version, Floor: 0, Cursor: s.given}
	for n := from; n < s.given; n++ {
		if n%3 == 0 {
			ch.Open = append(ch.Open, OpenMessage{Seq: n, Attempts: 2})
		} else {
			ch.Acked = append(ch.Acked, seqset.Range{From: n, To: n + 1})
		}
	}
	return ch
}

func (s *countingSource) Changes(full bool) ChannelChanges {
	s.version++
	from := s.told
	if full = full || s.anew; full {
		s.anew = false
		from = 0
	}
	s.told = s.given
	s.asked = append(s.asked, full)
	ch := s.since(from)
	ch.Full = full
	return ch
}

func (s *countingSource) Snapshot() ChannelChanges {
	ch := s.since(0)
	ch.Full = true
	return ch
}

const (
	tick     = 25 * time.Millisecond
	aTopic   = 1
	tickHalf = tick / 2
)

var start = time.Unix(1_000_000, 0)

func at(d time.Duration) time.Time { return start.Add(d) }

// next is the next source that is due, as a *countingSource.
func next(c *Collector) (*countingSource, bool) {
	s, full := c.Next()
	if s == nil {
		return nil, false
	}
	return s.(*countingSource), full
}

func TestSourcesAreDueAnIntervalAfterTheFirstMark(t *testing.T) {
	c := NewCollector(tick)
	a, b := &countingSource{channel: 2}, &countingSource{channel: 3}
	if c.Due(at(0)) || !c.DueAt().IsZero() {
		t.Fatal("something is due from the beginning")
	}
	if !c.Mark(a, at(0)) || c.Mark(a, at(1)) || c.Mark(b, at(tickHalf)) {
		t.Error("not the first mark alone is the first")
	}
	if c.Due(at(tick-1)) || !c.DueAt().Equal(at(tick)) {
		t.Errorf("due at %v", c.DueAt())
	}
	if !c.Due(at(tick)) || !c.DueAt().IsZero() {
		t.Error("not due after the interval")
	}
	first, _ := next(c)
	if !c.Mark(first, at(tick)) {
		t.Error("what changes after a source was asked is no news")
	}
	second, _ := next(c)
	if first != a || second != b {
		t.Error("not in the order of their marks")
	}
	if third, _ := next(c); third != nil || c.Due(at(2*tick-1)) || !c.Due(at(2*tick)) {
		t.Error("the second mark is not due an interval after it")
	}
}

func TestSourceIsAskedForEverythingUntilThatIsWritten(t *testing.T) {
	c := NewCollector(tick)
	s := &countingSource{channel: 2}
	ask := func() (full bool) {
		t.Helper()
		c.Mark(s, at(0))
		c.DueNow()
		got, full := next(c)
		if got != s {
			t.Fatal("not asked")
		}
		return full
	}
	if ask() {
		t.Error("everything is asked for at first")
	}
	if !ask() {
		t.Error("what was neither written nor refused counts as written")
	}
	c.Written([]Source{s})
	if ask() {
		t.Error("everything is asked for although it was written")
	}
	c.Refused([]Source{s}, at(tick))
	if !c.DueAt().Equal(at(2 * tick)) {
		t.Errorf("what was refused is due at %v", c.DueAt())
	}
	if !ask() {
		t.Error("what was refused is not asked for again")
	}
}

func TestEndsGrowAndAreToldOnce(t *testing.T) {
	c := NewCollector(tick)
	if !c.NoteEnd(TopicEnd{Topic: 1, Written: 20}, at(0)) || c.NoteEnd(TopicEnd{Topic: 1, Synced: 10, Written: 15}, at(1)) {
		t.Error("not the first note alone is the first")
	}
	if !c.Due(at(tick)) {
		t.Fatal("a note is not due")
	}
	if got, want := c.Ends(), []TopicEnd{{Topic: 1, Synced: 10, Written: 20}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if c.Due(at(tick)) || len(c.Ends()) > 0 {
		t.Error("told twice")
	}
}

func TestDetachedSourceSpeaksForTheNextCheckpoint(t *testing.T) {
	c := NewCollector(tick)
	s := &countingSource{channel: 2}
	c.Attach(s)
	if !slices.Equal(c.Sources(), []Source{s}) || !c.Spoke(s) || len(c.Sources()) != 1 {
		t.Error("an attached source does not go on speaking")
	}
	c.Mark(s, at(0))
	c.Detach(s)
	if c.Spoke(s) || len(c.Sources()) != 1 {
		t.Error("a source is let go that has changes to tell")
	}
	c.DueNow()
	next(c)
	c.Written([]Source{s})
	if c.Spoke(s) || len(c.Sources()) != 0 {
		t.Error("a source that has told everything is not let go")
	}
}

// machine is a Collector and what it is for, without files: a log that takes a
// write or not, and checkpoints.
type machine struct {
	t        *rapid.T
	c        *Collector
	now      time.Time
	topology *Topology
	log      *State // what a replay of the log finds
	dec      *Decoder
	sources  map[uint64]*countingSource
	marked   map[*countingSource]time.Time // the first mark that was not followed by a question
	refused  map[*countingSource]bool
}

func (m *machine) commit(e Entry) {
	m.log.Apply(e)
	m.topology.Apply(e)
}

func (m *machine) pick() *countingSource {
	if len(m.sources) == 0 {
		m.t.Skip("no channel")
	}
	return m.sources[rapid.SampledFrom(slices.Sorted(maps.Keys(m.sources))).Draw(m.t, "channel")]
}

func (m *machine) create() {
	id := uint64(len(m.sources) + 10)
	m.commit(Entry{Op: CreateChannel, Topic: aTopic, Channel: id, Name: fmt.Sprint(id)})
	s := &countingSource{topic: aTopic, channel: id}
	m.sources[id] = s
	m.c.Attach(s)
}

func (m *machine) give() {
	s := m.pick()
	s.given += rapid.Uint64Range(1, 5).Draw(m.t, "messages")
	m.mark(s)
}

// rewind has a channel begin anew: the log and the topology know it before the source does.
func (m *machine) rewind() {
	s := m.pick()
	s.rewound()
	start := rapid.Uint64Range(0, s.given).Draw(m.t, "start")
	var kept []seqset.Range
	for n := uint64(0); n < start; n += 3 {
		kept = append(kept, seqset.Range{From: n, To: n + 1})
	}
	e := RewindOf(aTopic, s.channel, start, s.version+100, kept)
	m.commit(e)
	s.rewinding = &e
}

// learn has a source know of its rewind.
func (m *machine) learn() {
	s := m.pick()
	if s.rewinding == nil {
		return
	}
	s.rewound()
	m.mark(s)
}

func (m *machine) mark(s *countingSource) {
	m.c.Mark(s, m.now)
	if _, ok := m.marked[s]; !ok {
		m.marked[s] = m.now
	}
}

// write asks up to so many sources that are due, and writes what they say.
func (m *machine) write(most int, works bool) {
	var told []Source
	var records [][]byte
	for range most {
		s, full := m.c.Next()
		if s == nil {
			break
		}
		cs := s.(*countingSource)
		if m.refused[cs] && !full {
			m.t.Fatalf("channel %d is not asked for everything after a failure", cs.channel)
		}
		delete(m.marked, cs)
		if record := m.topology.Changes(s.Changes(full)); record != nil {
			records = append(records, slices.Clone(record))
			told = append(told, s)
		} else {
			m.refused[cs] = false // it was rewound, and tells all once it knows
		}
	}
	for _, s := range told {
		m.refused[s.(*countingSource)] = !works
	}
	if !works {
		m.c.Refused(told, m.now)
		for _, s := range told {
			m.marked[s.(*countingSource)] = m.now
		}
		return
	}
	for _, record := range records {
		ch, err := m.dec.Changes(record)
		must(m.t, err)
		m.log.ApplyChanges(ch)
	}
	m.c.Written(told)
}

// checkpoint puts everything into records, and has the log say what they do.
func (m *machine) checkpoint() {
	replayed := New()
	put := func(record []byte) {
		switch KindOf(record) {
		case KindTopic:
			topic, err := m.dec.Topic(record)
			must(m.t, err)
			replayed.PutTopic(topic)
		case KindChanges:
			ch, err := m.dec.Changes(record)
			must(m.t, err)
			replayed.ApplyChanges(ch)
		}
	}
	if topics, channels := m.topology.Begin(put); topics != 1 || channels != uint64(len(m.sources)) {
		m.t.Fatalf("%d topics and %d channels, want 1 and %d", topics, channels, len(m.sources))
	}
	for _, s := range m.c.Sources() {
		ch := s.Snapshot()
		m.topology.Snapshot(ch, m.c.Spoke(s), put)
	}
	m.topology.Kept(put)
	m.topology.End()
	m.log = replayed
	m.log.Finish()
	m.compare(func(s *countingSource) bool { return s.version > 0 }) // what others gave out is in their first changes
}

// compare says that the log has everything of the channels that should be in it.
func (m *machine) compare(should func(*countingSource) bool) {
	for id, s := range m.sources {
		if !should(s) {
			continue
		}
		if s.rewinding != nil {
			continue // it is behind
		}
		c := m.log.Channel(aTopic, id)
		if c == nil {
			m.t.Fatalf("channel %d is not in the log", id)
		}
		c.Materialise()
		got, want := c.Snapshot(aTopic), s.Snapshot()
		replayed := New()
		replayed.Apply(Entry{Op: CreateTopic, Topic: aTopic})
		replayed.Apply(Entry{Op: CreateChannel, Topic: aTopic, Channel: id})
		want.Version++ // of one that has told nothing it is 0
		replayed.ApplyChanges(want)
		want = replayed.Channel(aTopic, id).Snapshot(aTopic)
		if got.Floor != want.Floor || !slices.Equal(got.Acked, want.Acked) || !slices.Equal(got.Open, want.Open) {
			m.t.Fatalf("channel %d: the log has %+v, want %+v", id, got, want)
		}
	}
}

func TestWhatIsMarkedIsInTheLogInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st := New()
		st.Apply(Entry{Op: CreateTopic, Topic: aTopic, Name: "t"})
		m := &machine{
			t: rt, c: NewCollector(tick), now: start, topology: NewTopology(st, NewEncoder()), log: st, dec: NewDecoder(),
			sources: map[uint64]*countingSource{}, marked: map[*countingSource]time.Time{}, refused: map[*countingSource]bool{},
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create":    func(*rapid.T) { m.create() },
			"rewind":    func(*rapid.T) { m.rewind() },
			"learn":     func(*rapid.T) { m.learn() },
			"give":      func(*rapid.T) { m.give() },
			"give more": func(*rapid.T) { m.give() },
			"elapse": func(*rapid.T) {
				m.now = m.now.Add(rapid.SampledFrom([]time.Duration{1, tickHalf, tick}).Draw(rt, "time"))
			},
			"write":      func(*rapid.T) { m.c.Due(m.now); m.write(2, true) },
			"fail":       func(*rapid.T) { m.c.Due(m.now); m.write(2, false) },
			"checkpoint": func(*rapid.T) { m.checkpoint() },
			"detach and attach": func(*rapid.T) {
				s := m.pick()
				m.c.Detach(s)
				m.checkpoint()
				m.c.Attach(s)
			},
			"": func(*rapid.T) {
				for s, since := range m.marked {
					if !m.now.Before(since.Add(tick)) && !m.c.Due(m.now) {
						rt.Fatalf("channel %d has been marked since %v and nothing is due", s.channel, m.now.Sub(since))
					}
				}
			},
		})
		for _, s := range m.sources {
			if s.rewinding != nil {
				s.rewound()
				m.mark(s)
			}
		}
		m.c.DueNow()
		m.write(len(m.sources), true)
		m.compare(func(*countingSource) bool { return true })
	})
}

// TestWhoIsForgottenIsNotAskedAnyMore, whether it was marked, due or at rest, and the
// others are.
func TestWhoIsForgottenIsNotAskedAnyMore(t *testing.T) {
	now := time.Now()
	for gone := range 4 {
		c := NewCollector(tick)
		var sources []Source
		for i := range uint64(4) {
			s := &countingSource{topic: aTopic, channel: i + 2}
			sources = append(sources, s)
			c.Attach(s)
		}
		for _, s := range sources[:2] {
			c.Mark(s, now)
		}
		c.DueNow()
		for _, s := range sources[2:3] {
			c.Mark(s, now)
		}
		c.Forget(sources[gone])
		c.Forget(sources[gone]) // once more does nothing
		var asked []Source
		c.Due(now.Add(tick))
		for s, _ := c.Next(); s != nil; s, _ = c.Next() {
			asked = append(asked, s)
		}
		want := slices.DeleteFunc(slices.Clone(sources[:3]), func(s Source) bool { return s == sources[gone] })
		if !slices.Equal(asked, want) || len(c.Sources()) != 3 {
			t.Errorf("without %d: %d asked, %d are known", gone, len(asked), len(c.Sources()))
		}
		c.Mark(sources[gone], now)
		c.DueNow()
		if s, full := c.Next(); s != sources[gone] || full {
			t.Errorf("who comes again is not asked as one that is new")
		}
	}
}

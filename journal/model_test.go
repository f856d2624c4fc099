package journal

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// model is the topology and the channels, told by a random sequence.
type model struct {
	t       *rapid.T
	fs      *crashfs.FS
	journal *Journal
	topics  map[uint64]*modelTopic
	last    uint64 // incarnation
}

type modelTopic struct {
	name     string
	paused   bool
	fanOut   uint64
	voids    map[uint64]bool
	behind   uint64 // what all channels of the time had behind them
	channels map[uint64]*modelChannel
}

type modelChannel struct {
	name   string
	paused bool
	source *testSource
}

func TestReplayEqualsModelForRandomSequences(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: rt, fs: crashfs.New(rapid.Uint64().Draw(rt, "seed")), topics: map[uint64]*modelTopic{}}
		m.open()
		rt.Repeat(map[string]func(*rapid.T){
			"create topic":     func(*rapid.T) { m.createTopic() },
			"delete topic":     func(*rapid.T) { m.onTopic(state.DeleteTopic, func(id uint64, _ *modelTopic) { m.deleteTopic(id) }) },
			"pause topic":      func(*rapid.T) { m.onTopic(state.PauseTopic, func(_ uint64, t *modelTopic) { t.paused = true }) },
			"unpause topic":    func(*rapid.T) { m.onTopic(state.UnpauseTopic, func(_ uint64, t *modelTopic) { t.paused = false }) },
			"empty topic":      func(*rapid.T) { m.emptyTopic() },
			"create channel":   func(*rapid.T) { m.onTopic(state.CreateChannel, nil) },
			"delete channel":   func(*rapid.T) { m.onChannel(state.DeleteChannel) },
			"pause channel":    func(*rapid.T) { m.onChannel(state.PauseChannel) },
			"unpause channel":  func(*rapid.T) { m.onChannel(state.UnpauseChannel) },
			"empty channel":    func(*rapid.T) { m.onChannel(state.EmptyChannel) },
			"acknowledge":      func(*rapid.T) { m.acknowledge() },
			"requeue":          func(*rapid.T) { m.requeue() },
			"flush":            func(*rapid.T) { must(m.t, m.journal.Flush()) },
			"close and open":   func(*rapid.T) { must(m.t, m.journal.Close()); m.open() },
			"kill and open":    func(*rapid.T) { must(m.t, m.journal.Flush()); m.kill(); m.open() },
			"detach for a bit": func(*rapid.T) { m.detach() },
		})
		must(rt, m.journal.Close())
	})
}

func (m *model) open() {
	j, st, err := Open(Options{
		FS: m.fs.Mount(), Dir: testDir, Bytes: 64, CheckpointBytes: 400, Logger: quiet(),
	})
	must(m.t, err)
	wantSound(m.t, st)
	m.journal = j
	m.compare(st)
	for tid, mt := range m.topics {
		for cid, c := range mt.channels {
			c.source.journal = j
			c.source.version = st.State.Channel(tid, cid).Version
			c.source.marked = false
			j.Attach(c.source)
		}
	}
}

// kill ends the process after everything was flushed.
func (m *model) kill() {
	m.fs.Kill()
	_ = m.journal.Close() // its file system is gone
}

func (m *model) compare(st *Found) {
	if len(st.State.Topics) != len(m.topics) || st.State.MaxIncarnation != m.last || st.LostBytes != 0 {
		m.t.Fatalf("%d topics, max %d, %d lost; want %d, %d, 0",
			len(st.State.Topics), st.State.MaxIncarnation, st.LostBytes, len(m.topics), m.last)
	}
	for id, want := range m.topics {
		got := st.State.Topics[id]
		if got == nil || got.Name != want.name || got.Paused != want.paused || got.FanOut != want.fanOut ||
			len(got.Channels) != len(want.channels) {
			m.t.Fatalf("topic %d: got %+v, want %+v", id, got, want)
		}
		m.compareVoids(got, want)
		for cid, c := range want.channels {
			wantChannel(m.t, st, c.source)
			if got := st.State.Channel(id, cid); got.Name != c.name || got.Paused != c.paused {
				m.t.Fatalf("channel %d: got %+v, want %+v", cid, got, c)
			}
		}
	}
}

// passed is what all channels have, or have had, behind them.
func (t *modelTopic) passed() uint64 {
	floor := ^uint64(0)
	for _, c := range t.channels {
		floor = min(floor, c.source.floor)
	}
	if len(t.channels) > 0 {
		t.behind = max(t.behind, floor)
	}
	return t.behind
}

// compareVoids lets voids be missing that every channel has behind it.
func (m *model) compareVoids(got *state.Topic, want *modelTopic) {
	missing := maps.Clone(want.voids)
	for _, v := range got.Voids {
		for seq := v.From; seq < v.To; seq++ {
			if !want.voids[seq] {
				m.t.Fatalf("%d is void", seq)
			}
			delete(missing, seq)
		}
	}
	for seq := range missing {
		if seq >= want.passed() {
			m.t.Fatalf("%d is not void", seq)
		}
	}
}

func (m *model) incarnation() uint64 {
	m.last++
	return m.last
}

func (m *model) createTopic() {
	id := m.incarnation()
	e := state.Entry{Op: state.CreateTopic, Topic: id, Name: fmt.Sprint("topic", id), FanOut: 10}
	must(m.t, m.journal.Commit(e))
	m.topics[id] = &modelTopic{name: e.Name, fanOut: 10, voids: map[uint64]bool{}, channels: map[uint64]*modelChannel{}}
}

func (m *model) pickTopic() (uint64, *modelTopic) {
	if len(m.topics) == 0 {
		m.t.Skip("no topic")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.topics))).Draw(m.t, "topic")
	return id, m.topics[id]
}

func (m *model) deleteTopic(id uint64) {
	for _, c := range m.topics[id].channels {
		m.journal.Detach(c.source)
	}
	delete(m.topics, id)
}

func (m *model) onTopic(op state.Op, then func(uint64, *modelTopic)) {
	id, t := m.pickTopic()
	e := state.Entry{Op: op, Topic: id}
	if op == state.PauseTopic || op == state.CreateChannel {
		t.fanOut += uint64(rapid.IntRange(0, 9).Draw(m.t, "fan-out"))
		e.FanOut = t.fanOut
	}
	if op == state.CreateChannel {
		e.Channel, e.Start = m.incarnation(), t.fanOut
		e.Name = fmt.Sprint("channel", e.Channel)
	}
	must(m.t, m.journal.Commit(e))
	if op != state.CreateChannel {
		then(id, t)
		return
	}
	c := &modelChannel{name: e.Name, source: newTestSource(m.journal, id, e.Channel, e.Start)}
	m.journal.Attach(c.source)
	t.channels[e.Channel] = c
}

func (m *model) emptyTopic() {
	id, t := m.pickTopic()
	v := seqset.Range{From: uint64(rapid.IntRange(1, 60).Draw(m.t, "from"))}
	v.To = v.From + uint64(rapid.IntRange(0, 9).Draw(m.t, "size"))
	must(m.t, m.journal.Commit(state.Entry{Op: state.EmptyTopic, Topic: id, FanOut: v.To, Void: v}))
	t.fanOut = max(t.fanOut, v.To)
	for seq := v.From; seq < v.To; seq++ {
		t.voids[seq] = true
	}
}

func (m *model) pickChannel() *modelChannel {
	_, t := m.pickTopic()
	if len(t.channels) == 0 {
		m.t.Skip("no channel")
	}
	return t.channels[rapid.SampledFrom(slices.Sorted(maps.Keys(t.channels))).Draw(m.t, "channel")]
}

func (m *model) onChannel(op state.Op) {
	c := m.pickChannel()
	t := m.topics[c.source.topic]
	e := state.Entry{Op: op, Topic: c.source.topic, Channel: c.source.channel}
	if op == state.EmptyChannel || op == state.DeleteChannel {
		t.fanOut += uint64(rapid.IntRange(0, 9).Draw(m.t, "fan-out"))
		e.FanOut = t.fanOut
	}
	must(m.t, m.journal.Commit(e))
	switch op {
	case state.PauseChannel:
		c.paused = true
	case state.UnpauseChannel:
		c.paused = false
	case state.EmptyChannel:
		c.source.empty(e.FanOut)
	case state.DeleteChannel:
		t.passed()
		m.journal.Detach(c.source)
		delete(t.channels, e.Channel)
	}
}

func (m *model) acknowledge() {
	c := m.pickChannel()
	from := c.source.floor + uint64(rapid.IntRange(0, 9).Draw(m.t, "from"))
	for n := rapid.IntRange(1, 5).Draw(m.t, "count"); n > 0; n-- {
		c.source.ack(from)
		from++
	}
}

func (m *model) requeue() {
	c := m.pickChannel()
	c.source.requeue(state.OpenMessage{
		Seq:      c.source.floor + uint64(rapid.IntRange(0, 9).Draw(m.t, "seq")),
		Attempts: rapid.Uint16().Draw(m.t, "attempts"),
		Due:      rapid.SampledFrom([]int64{0, 1, 1_800_000_000_000, 1_800_000_000_500}).Draw(m.t, "due"),
	})
}

// detach has the journal speak for a channel while nobody else does.
func (m *model) detach() {
	c := m.pickChannel()
	m.journal.Detach(c.source)
	must(m.t, m.journal.Flush())
	m.createTopic() // something to write
	m.journal.Attach(c.source)
}

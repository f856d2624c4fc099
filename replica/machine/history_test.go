package machine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
)

// history is entries that make sense one after the other, and the machine that
// they were applied to as they were made.
type history struct {
	rng     *rand.Rand
	m       *Machine
	entries [][]byte
	numbers map[[2]uint64]uint64 // last batch by topic and member
}

func newHistory(t tester, seed uint64, length int) *history {
	h := &history{rng: rand.New(rand.NewPCG(seed, 1)), m: open(t, newDisk(1)), numbers: make(map[[2]uint64]uint64)}
	for range length {
		h.add(t)
	}
	return h
}

func (h *history) add(t tester) {
	e := new(entry.Entry)
	for range 1 + h.rng.IntN(2) {
		h.extend(e)
	}
	b := e.AppendTo(nil)
	if h.rng.IntN(20) == 0 {
		b = nil
	}
	h.entries = append(h.entries, b)
	if _, err := h.m.Apply(uint64(len(h.entries)), 1, b); err != nil {
		t.Fatal(err)
	}
}

// topic is any of the topics there are; nil without.
func (h *history) topic() *topic {
	ids := slices.Sorted(maps.Keys(h.m.s.topics))
	if len(ids) == 0 {
		return nil
	}
	return h.m.s.topics[ids[h.rng.IntN(len(ids))]]
}

// extend adds something to an entry.
func (h *history) extend(e *entry.Entry) {
	t := h.topic()
	if t == nil || h.rng.IntN(12) == 0 {
		e.Topology = append(e.Topology, createTopic(fmt.Sprintf("Topic.%d", h.rng.IntN(4))))
		return
	}
	switch h.rng.IntN(10) {
	default:
		h.publish(e, t)
	case 0, 1, 2:
		h.change(e, t)
	case 3:
		e.Topology = append(e.Topology, h.operation(t))
	case 4:
		if h.rng.IntN(8) == 0 {
			e.Jump = entry.Jump{Number: t.next + uint64(h.rng.IntN(100)), Incarnation: uint64(h.rng.IntN(50))}
		}
		e.Term = uint64(h.rng.IntN(3)) // what is in term 1 counts
		e.Level = uint64(h.rng.IntN(5))
	}
}

func (h *history) publish(e *entry.Entry, t *topic) {
	member := uint64(1 + h.rng.IntN(2))
	at := [2]uint64{t.st.Incarnation, member}
	number := h.numbers[at] + 1
	switch h.rng.IntN(10) {
	case 0:
		number++ // a gap
	case 1:
		number = max(1, number-1)
	default:
		h.numbers[at] = number
	}
	p := part(t.st.Incarnation, member, 1, number)
	if h.rng.IntN(2) == 0 {
		p.Batch.BeginMulti()
		defer p.Batch.EndMulti()
	}
	for i := range h.rng.IntN(4) {
		m := message.Meta{Timestamp: 5, DeliverAt: int64(h.rng.IntN(2) * h.rng.IntN(100))}
		if h.rng.IntN(2) == 0 {
			id := message.MakeDedupID([]byte{byte(h.rng.IntN(12))})
			m.Timestamp, m.DedupID = 5+int64(len(h.entries))*1e6, &id
			m.DedupBounds = message.DedupBounds{Window: time.Duration(1+h.rng.IntN(50)) * time.Millisecond, Most: uint32(1 + h.rng.IntN(12))}
		}
		body := make([]byte, h.rng.IntN(3)*h.rng.IntN(400))
		p.Batch.Add(&m, fmt.Appendf(body, "%d.%d of %d for %d", number, i, member, at[0]))
	}
	e.Parts = append(e.Parts, p)
}

// change adds what a channel of the topic may have done.
func (h *history) change(e *entry.Entry, t *topic) {
	if id := h.channel(t); id != 0 {
		c := t.st.Channels[id]
		ch := state.ChannelChanges{Topic: t.st.Incarnation, Channel: id, Version: c.Version + 1, Full: h.rng.IntN(4) == 0, Floor: c.Acked.Floor(), Cursor: c.Cursor}
		some := func() uint64 { return ch.Floor + uint64(h.rng.IntN(int(t.next-min(ch.Floor, t.next))+1)) }
		ch.Floor = min(t.fanOut(), some())
		ch.Cursor = max(ch.Cursor, ch.Floor, min(t.fanOut(), some()))
		if ch.Full { // what is done stays done
			ch.Acked = slices.Collect(c.Acked.Ranges())
		}
		if from := some(); from+2 <= t.next {
			ch.Acked = append(ch.Acked, seqset.Range{From: from, To: from + 2})
		}
		if seq := some(); seq < t.next {
			ch.Open = []state.OpenMessage{{Seq: seq, Attempts: 3, Due: int64(h.rng.IntN(2) * 1000)}}
		}
		e.Changes = append(e.Changes, slices.Clone(state.NewEncoder().Changes(ch)))
	}
}

// channel is any of a topic; 0 without.
func (h *history) channel(t *topic) uint64 {
	ids := slices.Sorted(maps.Keys(t.st.Channels))
	if len(ids) == 0 {
		return 0
	}
	return ids[h.rng.IntN(len(ids))]
}

// operation is one on a topic or a channel of it.
func (h *history) operation(t *topic) state.Entry {
	e := state.Entry{Topic: t.st.Incarnation, Channel: h.channel(t)}
	ops := []state.Op{
		state.CreateChannel, state.CreateChannel, state.CreateChannel, state.PauseTopic, state.UnpauseTopic, state.UnpauseTopic,
		state.EmptyTopic, state.DeleteChannel, state.PauseChannel, state.UnpauseChannel, state.EmptyChannel, state.VoidRange, state.DeleteTopic, state.SetFanOut,
		state.RetainFrom, state.RetainFrom, state.RewindChannel, state.RewindChannel,
	}
	switch e.Op = ops[h.rng.IntN(len(ops))]; e.Op {
	case state.CreateChannel:
		e.Channel, e.Name, e.Start = 0, fmt.Sprintf("c%d", h.rng.IntN(3)), uint64(h.rng.IntN(2))*t.st.Floor()
	case state.VoidRange:
		from := t.st.Floor() + uint64(h.rng.IntN(20))
		e.Void = seqset.Range{From: from, To: from + uint64(h.rng.IntN(20))}
	case state.SetFanOut:
		e.FanOut = t.fanOut()
	case state.RewindChannel:
		if e.Channel == 0 {
			return e
		}
		c := t.st.Channels[e.Channel]
		start := t.st.Kept() + uint64(h.rng.IntN(int(t.next-min(t.next, t.st.Kept()))+1))
		kept, _ := c.Acked.Gaps(nil, c.Floor(), start, maxOwed)
		return state.RewindOf(e.Topic, e.Channel, start, c.Version+uint64(h.rng.IntN(3)), kept)
	case state.RetainFrom:
		e.Start = uint64(min(1, h.rng.IntN(4))) * (max(1, t.st.Kept()) + uint64(h.rng.IntN(20)))
	}
	return e
}

// applyAll applies what of the history is not applied yet, and makes a checkpoint
// every so many entries.
func (h *history) applyAll(m *Machine, every int) error {
	index, _ := m.Applied()
	for i := int(index); i < len(h.entries); i++ {
		if _, err := m.Apply(uint64(i+1), 1, h.entries[i]); err != nil {
			return err
		}
		if (i+1)%every == 0 {
			if _, err := m.Checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

// countOperations counts what is asked of the disk from now on.
func countOperations(disk *crashfs.FS) *int {
	n := new(int)
	disk.Fail(func(crashfs.Op, string) error { *n++; return nil })
	return n
}

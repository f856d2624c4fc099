package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/cluster/link"
	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/replica/machine"
)

// What the disk of this member has lost of a topic's log, whether it was found when the
// log was opened or when a message was read, is fetched from another member and written
// again. Meanwhile, and while nobody has it, the messages wait: no member alone makes
// one void.
//
//	callRecords: shard u32, incarnation u64, from u64, to u64    answer: records
const (
	recordsHead  = 4 + 3*8
	recordsBytes = 512 << 10
	// mendAgain is after how long it is tried again where no member had all; twice as long
	// each time, up to mendSeldom, unless somebody connects or more is found.
	mendAgain  = 10 * time.Second
	mendSeldom = 10 * time.Minute
)

// mender has lost messages fetched. A goroutine that exists only while there is something
// to be done does it.
type mender struct {
	r    *run
	soon chan struct{} // of capacity 1: somebody is connected who may have what nobody had, or more is lost

	mu      sync.Mutex // guards what follows
	lost    []loss
	begun   bool // the member takes part
	mending bool // there is a goroutine

	mended atomic.Uint64 // messages that are there again
	waits  atomic.Uint64 // messages that no other member gave when they were asked last
}

// loss is what cannot be read here of a topic: all of it is mended at a time, as each mend
// writes whole segments anew.
type loss struct {
	shard       uint32
	name        string
	incarnation uint64
	numbers     []seqset.Range // ascending
	told        bool           // that nobody has it
}

// sameTopic says whether two losses are of one topic.
func (l *loss) sameTopic(o *loss) bool { return l.shard == o.shard && l.incarnation == o.incarnation }

// found notes what is amiss with a topic's log. It does not wait.
func (m *mender) found(shard uint32, f machine.Finding) {
	if f.Lost == 0 && f.Kind != diskqueue.Missing || f.Range.From >= f.Range.To {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	of := loss{shard: shard, name: f.Topic, incarnation: f.Incarnation, numbers: []seqset.Range{f.Range}}
	for i := range m.lost {
		if l := &m.lost[i]; l.told && l.sameTopic(&of) && len(seqset.Difference(of.numbers, l.numbers)) == 0 {
			return
		}
	}
	m.add(&of)
	m.wake()
	m.hurry()
}

// add notes a loss with what else is lost of its topic. The caller holds m.mu.
func (m *mender) add(of *loss) {
	for i := range m.lost {
		if l := &m.lost[i]; l.sameTopic(of) && l.told == of.told {
			l.numbers = seqset.Union(l.numbers, of.numbers)
			return
		}
	}
	m.lost = append(m.lost, *of)
}

// start says that the member takes part.
func (m *mender) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = true
	m.wake()
}

// wake has what is lost mended. The caller holds m.mu.
func (m *mender) wake() {
	if m.begun && !m.mending && len(m.lost) > 0 {
		m.mending = m.r.work(m.run)
	}
}

// hurry says that there may be more to do now: another member is connected, or more was
// found.
func (m *mender) hurry() {
	select {
	case m.soon <- struct{}{}:
	default:
	}
}

// run mends until there is nothing left, or nobody has it.
func (m *mender) run() {
	again := mendAgain
	for {
		m.mu.Lock()
		if m.mending = len(m.lost) > 0; !m.mending {
			m.mu.Unlock()
			return
		}
		todo := m.lost
		m.lost = nil
		m.mu.Unlock()
		var left []loss
		for _, l := range todo {
			left = append(left, m.mend(&l)...)
		}
		m.again(left)
		if len(left) == 0 {
			again = mendAgain
			continue
		}
		select {
		case <-m.soon:
			again = mendAgain
		case <-time.After(again):
			again = min(2*again, mendSeldom)
		case <-m.r.ctx.Done():
			return
		}
	}
}

// again notes what is to be tried again. What was found meanwhile and is known to be what
// nobody has is nothing new.
func (m *mender) again(left []loss) {
	waits := uint64(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range left {
		of := &left[i]
		if of.told {
			m.forget(of)
			for _, r := range of.numbers {
				waits += r.Len()
			}
		}
	}
	for i := range left {
		m.add(&left[i])
	}
	m.waits.Store(waits)
}

// forget takes what is known to be what nobody has from what was found of its topic. The
// caller holds m.mu.
func (m *mender) forget(known *loss) {
	for i := range m.lost {
		if l := &m.lost[i]; l.sameTopic(known) {
			l.numbers = seqset.Difference(l.numbers, known.numbers)
		}
	}
	m.lost = slices.DeleteFunc(m.lost, func(l loss) bool { return len(l.numbers) == 0 })
}

// mend mends what it can of a loss, and returns what is to be tried again.
func (m *mender) mend(l *loss) (left []loss) {
	var sources []machine.Source
	gave, answered := make(map[string]bool), false
	for _, member := range m.r.s.connected() {
		sources = append(sources, func(from, to uint64) ([]byte, error) {
			records, err := m.fetch(member, l, from, to)
			answered = answered || !errors.Is(err, machine.ErrUnreached)
			if err == nil {
				gave[m.r.s.addressOf(member)] = true
			}
			return records, err
		})
	}
	if len(sources) == 0 {
		return []loss{*l}
	}
	mended, nobody, why := m.r.machines[l.shard].Mend(l.incarnation, l.numbers, sources...)
	m.mended.Add(mended)
	if mended > 0 {
		m.r.s.o.Logger.Info("messages that were lost here are there again",
			append(l.attributes(), slog.Uint64("messages", mended), slog.Any("of", slices.Sorted(maps.Keys(gave))))...)
	}
	switch {
	case errors.Is(why, machine.ErrNoTopic) || m.r.ctx.Err() != nil:
		return nil
	case why != nil:
		m.r.s.o.Logger.Warn("messages that were lost here cannot be written now", append(l.attributes(), slog.Any("error", why))...)
		return []loss{*l}
	}
	return m.nobodyHas(l, nobody, answered)
}

// nobodyHas tells of a loss, the first time, what no member gave, and returns it.
func (m *mender) nobodyHas(l *loss, numbers []seqset.Range, answered bool) (left []loss) {
	if len(numbers) == 0 {
		return nil
	}
	of := *l
	of.numbers = numbers
	if !of.told && answered {
		of.told = true
		for _, r := range numbers {
			one := loss{name: l.name, numbers: []seqset.Range{r}}
			m.r.s.o.Logger.Warn("no other member gives what was lost here: it waits", one.attributes()...)
		}
	}
	return []loss{of}
}

// attributes name a loss in log lines.
func (l *loss) attributes() []any {
	last := l.numbers[len(l.numbers)-1]
	return []any{slog.String("topic", l.name), slog.Uint64("from", l.numbers[0].From), slog.Uint64("to", last.To)}
}

// fetch asks a member for messages.
func (m *mender) fetch(member uint64, l *loss, from, to uint64) ([]byte, error) {
	question := binary.LittleEndian.AppendUint32(nil, l.shard)
	for _, n := range []uint64{l.incarnation, from, to} {
		question = binary.LittleEndian.AppendUint64(question, n)
	}
	ctx, cancel := context.WithTimeout(m.r.ctx, pieceTime)
	defer cancel()
	records, err := m.r.s.links.Call(ctx, member, callRecords, question)
	var answered *link.RemoteError
	if err != nil && !errors.As(err, &answered) {
		err = fmt.Errorf("%w: %w", machine.ErrUnreached, err)
	}
	return records, err
}

var errRecordsQuestion = errors.New("a question for messages that makes no sense")

// giveRecords answers a member that has lost messages.
func (r *run) giveRecords(_ context.Context, _ uint64, body []byte) ([]byte, error) {
	if len(body) != recordsHead {
		return nil, errRecordsQuestion
	}
	shard := binary.LittleEndian.Uint32(body)
	if shard == 0 || shard > Shards {
		return nil, errRecordsQuestion
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(body[4+8*i:]) }
	return r.machines[shard].Records(number(0), number(1), number(2), recordsBytes)
}

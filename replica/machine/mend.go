package machine

import (
	"errors"
	"fmt"
	"slices"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
)

// The logs of a topic hold the same records on every replica, as far as each has applied.
// What a disk has lost of one is fetched from another, and written again.

// Records are the messages of a topic from a number on, below to, as they travel between
// nodes: about so many bytes, at least one, and none behind one that cannot be read here.
// The error is ErrNoTopic, or why the first cannot be read.
func (m *Machine) Records(incarnation, from, to uint64, bytes int) ([]byte, error) {
	v, err := m.Topic(incarnation)
	if err != nil {
		return nil, err
	}
	defer v.Release()
	r := v.Log.NewReader()
	defer r.Release()
	var b diskqueue.Batch
	for seq := from; seq < min(to, v.Next) && b.Bytes() < bytes; seq++ {
		view, err := r.Read(seq)
		if err != nil && b.Len() == 0 {
			return nil, err
		}
		if err != nil {
			break
		}
		b.AddView(view)
	}
	if b.Len() == 0 {
		return nil, fmt.Errorf("message %d: %w", from, diskqueue.ErrNotFound)
	}
	return b.Records(), nil
}

// Source gives records of another node from a number on, below to, as its Records does. An
// error that wraps ErrUnreached says that the node was not heard, any other one that it
// does not have the first.
type Source func(from, to uint64) ([]byte, error)

// ErrUnreached is wrapped by the error of a Source that says nothing of what the node has.
var ErrUnreached = errors.New("another replica was not reached")

const (
	// mendBytes is about how much is fetched before it is written.
	mendBytes = 16 << 20
	// maxMisses is how many messages one after the other are asked for one by one and had
	// from no source. Behind them it is looked where many that all have lost may end.
	maxMisses = 4096
)

// Mend makes good what this node has lost of some messages of a topic, ascending, with what
// any of the sources have: each may have lost something, too. Mended is how many are there
// again, and left those that somebody wants and that no source gave, ascending. The error is
// ErrNoTopic, one for which diskqueue.InUse is true, or of the file system: what was
// mended before counts.
func (m *Machine) Mend(incarnation uint64, numbers []seqset.Range, sources ...Source) (mended uint64, left []seqset.Range, err error) {
	v, err := m.Topic(incarnation)
	if err != nil {
		return 0, nil, err
	}
	defer v.Release()
	g := gathering{sources: sources}
	var all []seqset.Range
	for _, r := range numbers {
		all = append(all, wanted(v.State, seqset.Range{From: r.From, To: min(r.To, v.Next)})...)
	}
	for _, want := range all {
		for at := want.From; at < want.To; {
			at = g.gather(v, seqset.Range{From: at, To: want.To})
			if g.bytes < mendBytes {
				continue
			}
			n, err := m.put(v, &g)
			if mended += n; err != nil {
				return mended, g.left, err
			}
		}
	}
	n, err := m.put(v, &g)
	return mended + n, seqset.Union(g.left), err
}

// gathering is what sources gave of what is lost here.
type gathering struct {
	sources []Source
	views   []message.View // ascending
	bytes   int
	left    []seqset.Range // what nobody gave
	misses  int            // at the end of left
}

// gather looks for what cannot be read here of numbers, and fetches it; next is where to
// go on: it ends when there is enough to be written.
func (g *gathering) gather(v *View, numbers seqset.Range) (next uint64) {
	r := v.Log.NewReader()
	defer r.Release()
	for seq := numbers.From; seq < numbers.To; seq++ {
		view, err := r.Read(seq)
		bad := seqset.Range{From: seq, To: numbers.To}
		var damaged *diskqueue.DamageError
		switch {
		case err == nil && v.Log.Lacks(seq): // memory has it, and the disk does not
			view.Attrs, view.Body = slices.Clone(view.Attrs), slices.Clone(view.Body)
			g.views, g.bytes = append(g.views, view), g.bytes+message.HeaderSize+len(view.Attrs)+len(view.Body)
			continue
		case errors.As(err, &damaged):
			bad.To = min(damaged.To, bad.To)
		case errors.Is(err, diskqueue.ErrNotFound):
			if gaps := v.Log.Gaps(seq, bad.To); len(gaps) > 0 {
				bad.To = gaps[0].To
			}
		default:
			continue
		}
		if seq = g.fetch(bad) - 1; g.bytes >= mendBytes {
			return seq + 1
		}
	}
	return numbers.To
}

// fetch fetches what the sources have of numbers that are lost here; next is where to go on.
func (g *gathering) fetch(bad seqset.Range) (next uint64) {
	g.misses = 0
	for at := bad.From; at < bad.To; {
		records, n := g.ask(seqset.Range{From: at, To: bad.To})
		switch {
		case n > 0:
			at, g.misses = at+n, 0
			if g.take(records, at-n); g.bytes >= mendBytes {
				return at
			}
			continue
		case len(g.sources) == 0:
			g.left = append(g.left, seqset.Range{From: at, To: bad.To})
			return bad.To
		}
		to := at + 1
		if g.misses++; g.misses > maxMisses {
			to = g.behind(seqset.Range{From: at, To: bad.To})
		}
		g.left = append(g.left, seqset.Range{From: at, To: to})
		at = to
	}
	return bad.To
}

// behind looks where messages that nobody has end, of which the first of numbers is one:
// twice as far each time, and at the last one, and then back. It passes over what stands
// alone among them.
func (g *gathering) behind(numbers seqset.Range) (next uint64) {
	last := numbers.To - 1
	missed, had := numbers.From, numbers.To
	for step := uint64(1); missed < last && had == numbers.To; step *= 2 {
		if at := missed + min(step, last-missed); g.has(at) {
			had = at
		} else {
			missed = at
		}
	}
	for missed+1 < had {
		if at := missed + (had-missed)/2; g.has(at) {
			had = at
		} else {
			missed = at
		}
	}
	return had
}

// has says whether any source gives a message.
func (g *gathering) has(seq uint64) bool {
	_, n := g.ask(seqset.Range{From: seq, To: seq + 1})
	return n > 0
}

// take keeps records that were looked at.
func (g *gathering) take(records []byte, first uint64) {
	g.bytes += len(records)
	_ = diskqueue.EachRecord(records, first, func(v message.View) error {
		g.views = append(g.views, v)
		return nil
	})
}

// ask is the first of the messages of numbers, n of them, of the first source that gives
// any; those that gave none are asked last from then on, and those that are not reached
// not at all.
func (g *gathering) ask(numbers seqset.Range) (records []byte, n uint64) {
	for range len(g.sources) {
		source := g.sources[0]
		records, err := source(numbers.From, numbers.To)
		if err == nil {
			n, err = count(records, numbers)
		}
		if err == nil {
			return records, n
		}
		g.sources = g.sources[1:]
		if !errors.Is(err, ErrUnreached) {
			g.sources = append(slices.Clone(g.sources), source)
		}
	}
	return nil, 0
}

// put writes what was gathered.
func (m *Machine) put(v *View, g *gathering) (mended uint64, err error) {
	for len(g.views) > 0 && err == nil {
		first, last := g.views[0].Seq, g.views[len(g.views)-1].Seq
		m.mending.Store(true)
		m.reclaiming.Lock()
		err = v.Log.Mend(seqset.Range{From: first, To: last + 1}, g.give)
		m.reclaiming.Unlock()
		m.mending.Store(false)
		if errors.Is(err, diskqueue.ErrIncomplete) || errors.Is(err, diskqueue.ErrNotFound) { // it is not lost, or not wanted, any more
			g.views, err = g.views[1:], nil
			continue
		}
		before := len(g.views)
		g.views = slices.DeleteFunc(g.views, func(x message.View) bool { return !v.Log.Lacks(x.Seq) })
		if mended += uint64(before - len(g.views)); before == len(g.views) && err == nil {
			g.views = g.views[1:]
		}
	}
	if len(g.views)+g.bytes > 0 {
		m.Reclaim() // what was left meanwhile
	}
	g.views, g.bytes = nil, 0
	return mended, err
}

// give gives what was gathered of what is lost.
func (g *gathering) give(lost seqset.Range, take func(message.View) error) error {
	for _, v := range g.views {
		if v.Seq < lost.From || v.Seq >= lost.To {
			continue
		}
		if err := take(v); err != nil {
			return err
		}
	}
	return nil
}

// count looks at what a source gave of numbers.
func count(records []byte, numbers seqset.Range) (n uint64, err error) {
	err = diskqueue.EachRecord(records, numbers.From, func(message.View) error { n++; return nil })
	if err == nil && (n == 0 || n > numbers.Len()) {
		err = fmt.Errorf("%d records for messages %d to %d: %w", n, numbers.From, numbers.To-1, diskqueue.ErrIncomplete)
	}
	return n, err
}

package broker

import (
	"errors"
	"fmt"
	"slices"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// How many dead letters are put back together, and how many bytes of them.
const (
	maxPutBack      = 256
	maxPutBackBytes = 4 << 20
)

// PutBack is what became of dead letters that were to be put back.
type PutBack struct {
	Done int
	// Left are those that stay dead letters: how many for which reason.
	Left map[string]int
}

// leave notes that n dead letters stay.
func (p *PutBack) leave(n int, why string) {
	if p.Left == nil {
		p.Left = make(map[string]int)
	}
	p.Left[why] += n
}

// DeadLetters shows the dead letters of a topic, see topic.Look.DeadLetters. The error is
// also ErrNoTopic or why the topic's log cannot be read.
func (b *Broker) DeadLetters(topicName string, from uint64, limit int, show func(message.ID, message.View) error) (next uint64, err error) {
	l, release, err := b.Look(topicName)
	if err != nil {
		return 0, err
	}
	defer release()
	return l.DeadLetters(from, limit, show)
}

// errShown ends a search.
var errShown = errors.New("found")

// PutBackOne puts a dead letter back where it came from, into that channel alone: its
// attempts begin anew. The topic of dead letters, with all its channels, has it no more
// then. found is false when there is no such dead letter. When the process ends meanwhile
// it may be in both.
func (b *Broker) PutBackOne(topicName string, id message.ID) (p PutBack, found bool, err error) {
	b.puttingBack.Lock()
	defer b.puttingBack.Unlock()
	l, release, err := b.Look(topicName)
	if err != nil {
		return p, false, err
	}
	defer release()
	prefix, seq, ok := id.Split()
	if !ok || prefix != l.IDPrefix {
		return p, false, nil
	}
	var list []letter
	_, err = l.DeadLetters(seq, 1, func(at message.ID, v message.View) error {
		if found = at == id; found {
			list = append(list, letterOf(v))
		}
		return errShown
	})
	if errors.Is(err, errShown) {
		err = nil
	}
	if err != nil || !found {
		return p, false, err
	}
	return p, true, b.putBack(topicName, list, &p)
}

// PutBackAll is PutBackOne for all dead letters that are there when it begins.
func (b *Broker) PutBackAll(topicName string) (p PutBack, err error) {
	b.puttingBack.Lock()
	defer b.puttingBack.Unlock()
	l, release, err := b.Look(topicName)
	if err != nil {
		return p, err
	}
	defer release()
	for next := uint64(1); next != 0; {
		var list []letter
		size := 0
		enough := uint64(0)
		next, err = l.DeadLetters(next, maxPutBack, func(_ message.ID, v message.View) error {
			if size += len(v.Body); size > maxPutBackBytes && len(list) > 0 {
				enough = v.Seq
				return errShown
			}
			list = append(list, letterOf(v))
			return nil
		})
		if enough != 0 {
			next, err = enough, nil
		}
		if err == nil {
			err = b.putBack(topicName, list, &p)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// letter is a dead letter that is put back.
type letter struct {
	seq  uint64
	from message.DeadLetter
	body []byte
	meta message.Meta // see message.View.Description
}

func letterOf(v message.View) letter {
	d, _ := v.DeadLetter()
	return letter{seq: v.Seq, from: d, body: slices.Clone(v.Body), meta: v.Description()}
}

// putBack publishes letters where they came from, and takes out those that are. The
// error is that of taking them out: they are in both then.
func (b *Broker) putBack(topicName string, list []letter, p *PutBack) error {
	origins := make(map[string][]letter)
	for _, l := range list {
		if err := b.hasChannel(l.from.Topic, l.from.Channel); err != nil {
			p.leave(1, err.Error())
			continue
		}
		origins[l.from.Topic] = append(origins[l.from.Topic], l)
	}
	var out []seqset.Range
	for origin, letters := range origins {
		if err := b.publishBack(origin, letters); err != nil {
			p.leave(len(letters), fmt.Sprintf("topic %s: %v", origin, err))
			continue
		}
		for _, l := range letters {
			out = append(out, seqset.Range{From: l.seq, To: l.seq + 1})
		}
		p.Done += len(letters)
	}
	if len(out) == 0 {
		return nil
	}
	return b.Change(Change{Op: state.VoidRange, Topic: topicName, Void: seqset.Union(out)})
}

func (b *Broker) publishBack(origin string, letters []letter) error {
	pub, err := b.ownPublisher(origin)
	if err != nil {
		return err
	}
	var records diskqueue.Batch
	now, stamp := b.clock.Wall(), pub.Stamp().Begin(&records)
	for _, l := range letters {
		m := l.meta
		m.Timestamp, m.OnlyFor = now, l.from.Channel
		stamp.ApplyAgain(&m, l.body)
		records.Add(&m, l.body)
	}
	_, err = b.PublishOwn(pub, &records)
	return err
}

// hasChannel is nil where this node has a channel that messages can be put back to.
func (b *Broker) hasChannel(topicName, name string) error {
	there := false
	if b.replicas(topicName) != nil {
		r, _ := b.Replica(topicName)
		there = slices.ContainsFunc(r.Channels, func(c ReplicaChannel) bool { return c.Name == name })
	} else if t, ok := b.Existing(topicName); ok {
		_, there = t.ExistingChannel(name)
	}
	if !there {
		return fmt.Errorf("topic %s has no channel %s here", topicName, name)
	}
	return nil
}

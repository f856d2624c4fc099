package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"qmq/diskqueue"
	"qmq/message"
	"qmq/topic"
)

// simMessage is something that is published, perhaps again and again: by its id it is
// one.
type simMessage struct {
	id, key  string // empty: it has none
	poison   bool   // consumers of some channels never finish it
	deferral time.Duration
	priority uint8
}

// simBody is the body of a message, which its topic finds key and id in.
type simBody struct {
	Key    string `json:"k,omitempty"`
	ID     string `json:"d,omitempty"`
	Poison bool   `json:"p,omitempty"`
	Pub    int    `json:"n"` // of which publication it is, and
	Place  int    `json:"i"` // at which place
}

// publication is a batch that somebody published.
type publication struct {
	number   int
	at       int64 // wall clock
	messages []*simMessage
	stored   []bool
	left     []bool // out, as doubles
	refused  bool   // for good
}

var errRefuses = errors.New("nothing may be published here")

// publish publishes something now and then.
func (s *simServer) publish() {
	d, w := s.d, s.n.w
	s.n.later(w.between(20*time.Millisecond, 200*time.Millisecond), s.publish)
	if w.ending && s.refuses {
		s.refuses = false
		s.node.Refuse(nil)
	}
	if !d.ready || w.ending || d.waiting > 40 {
		return
	}
	if w.chance(0.02) || s.refuses {
		s.refuses = !s.refuses
		why := error(nil)
		if s.refuses {
			why = errRefuses
		}
		s.node.Refuse(why)
	}
	p := &publication{number: len(d.pubs), at: s.clock.Wall()}
	b := new(diskqueue.Batch)
	stamp := s.node.Stamp("t").Begin(b)
	n := max(1, w.rng.IntN(6)-2)
	if n > 1 {
		b.BeginMulti()
	}
	for place := range n {
		m := d.next(p)
		p.messages = append(p.messages, m)
		body, err := json.Marshal(simBody{m.key, m.id, m.poison, p.number, place})
		if err != nil {
			panic(err)
		}
		meta := message.Meta{Timestamp: p.at, Priority: m.priority}
		if m.deferral > 0 {
			meta.DeliverAt = (p.at + int64(m.deferral)) / 1e6
		}
		stamp.Apply(&meta, body)
		b.Add(&meta, body)
	}
	if n > 1 {
		b.EndMulti()
	}
	p.stored, p.left = make([]bool, n), make([]bool, n)
	d.pubs = append(d.pubs, p)
	d.send(s, p, b)
}

// next is a message of a publication: often one that was published before.
func (d *served) next(p *publication) *simMessage {
	w := d.w
	switch dice := w.rng.IntN(100); {
	case dice < 5 && len(p.messages) > 0 && p.messages[0].id != "":
		return p.messages[0] // an MPUB with a double inside
	case dice < 35 && len(d.recent) > 0:
		return d.recent[w.rng.IntN(len(d.recent))]
	}
	m := &simMessage{priority: uint8(w.rng.IntN(10)), poison: w.chance(0.03)}
	if w.chance(0.9) {
		m.key = fmt.Sprint("k", w.rng.IntN(1+w.rng.IntN(12)))
	}
	if w.chance(0.05) {
		m.deferral = w.between(time.Millisecond, 2*time.Second)
	}
	if w.chance(0.7) {
		m.id = fmt.Sprintf("%d-%d", len(d.pubs), len(p.messages))
		if d.recent = append(d.recent, m); len(d.recent) > 60 {
			d.recent = d.recent[1:]
		}
	}
	return m
}

// send publishes a batch.
func (d *served) send(s *simServer, p *publication, b *diskqueue.Batch) {
	wait, there := s.node.Start("t", b)
	if !there {
		return // a new member, which does not know the topic yet
	}
	d.waiting++
	go func() {
		err := wait()
		d.inbox.put(func() { d.answered(p, err) }) // also when the process has ended
	}()
}

// answered takes up what a publisher was told.
func (d *served) answered(p *publication, err error) {
	d.waiting--
	var full *topic.FullError
	switch {
	case err == nil:
		d.counts.okayed++
		d.w.truth.okayed++
		for place := range p.messages {
			d.mustBeThere(p, place)
		}
	case errors.As(err, &full), errors.Is(err, errRefuses):
		d.counts.refused++
		p.refused = true
		for place, stored := range p.stored {
			if stored {
				d.w.fail("publication %v was refused and message %d of it is stored", *p, place)
			}
		}
	}
}

// mustBeThere wants what was OK'd: the message, or one with its id that was there.
func (d *served) mustBeThere(p *publication, place int) {
	m := p.messages[place]
	repeated := m.id != "" && d.once.came[m.id] // while nothing could be published
	if !p.stored[place] && !p.left[place] && !repeated {
		d.w.fail("message %d of publication %d was OK'd and is not there: %+v", place, p.number, *m)
	}
}

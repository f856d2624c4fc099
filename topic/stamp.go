package topic

import (
	"qmq/diskqueue"
	"qmq/internal/jsonpointer"
	"qmq/message"
	"qmq/settings"
)

// Stamp says of messages what their bodies do, as the topic's settings ask for. It is
// asked for once a batch, and nil where there is nothing to say, which is usual. It is
// never changed and may be used concurrently.
type Stamp struct {
	key    *jsonpointer.Pointer // where the key is; nil: nowhere
	id     *jsonpointer.Pointer // where the id is that doubles are known by; nil: nowhere
	bodyID bool                 // all of the body is that id
	bounds message.DedupBounds  // zero: doubles are not known
	by     uint64               // names the settings of a replicated topic; 0: none need to be known
}

// newStamp is what settings ask for.
func newStamp(e *settings.EffectiveTopic) *Stamp {
	s := Stamp{key: e.KeyFrom.Pointer()}
	if e.DedupWindow > 0 {
		s.id, s.bodyID = e.DedupFrom.Pointer(), e.DedupFrom == settings.Body
		s.bounds = message.DedupBounds{Window: e.DedupWindow, Most: uint32(e.DedupMaxIDs)}
	}
	if s == (Stamp{}) {
		return nil
	}
	return &s
}

// WithoutDedup is the stamp where doubles are not known.
func (s *Stamp) WithoutDedup() *Stamp {
	if s == nil {
		return nil
	}
	return &Stamp{key: s.key, by: s.by}
}

// Begin notes in an empty batch that its messages are stamped by s, and returns what is to
// be applied to each of them: nil where there is nothing to say.
func (s *Stamp) Begin(b *diskqueue.Batch) *Stamp {
	if s == nil {
		return nil
	}
	b.SetStamped(s.by)
	if s.key == nil && s.bounds == (message.DedupBounds{}) {
		return nil
	}
	return s
}

// By names the settings of the replicated topic that s is of.
func (s *Stamp) By() uint64 { return s.by }

// Apply completes what a publisher says of a message with what the body does. What the
// publisher says counts. The body must stay as it is as long as m is used.
func (s *Stamp) Apply(m *message.Meta, body []byte) {
	if s == nil {
		return
	}
	s.ApplyAgain(m, body)
	if s.bounds == (message.DedupBounds{}) {
		return
	}
	if m.DedupID == nil {
		if m.DedupID = s.idOf(body); m.DedupID != nil {
			m.Found |= message.FoundDedupID
		}
	}
	if m.DedupID != nil {
		m.DedupBounds = s.bounds
	}
}

// ApplyAgain is Apply for a message that was published before, as a dead letter is or one
// that is put back: its id does not count again.
func (s *Stamp) ApplyAgain(m *message.Meta, body []byte) {
	if s != nil && s.key != nil && len(m.Key) == 0 {
		if key, ok := s.key.Scalar(body); ok {
			// Of long keys that begin alike all have the same one: more is kept in order than
			// was asked for, and never less.
			m.Key = key[:min(len(key), message.MaxKey)]
			m.Found |= message.FoundKey
		}
	}
}

// idOf is the id that a body says; nil: none.
func (s *Stamp) idOf(body []byte) *message.DedupID {
	text, ok := body, s.bodyID
	if s.id != nil {
		text, ok = s.id.Scalar(body)
	}
	if !ok {
		return nil
	}
	id := message.MakeDedupID(text)
	return &id
}

// Stamp is what is to be said of the messages of a batch that is about to be made for
// the topic.
func (t *Topic) Stamp() *Stamp { return t.config.Load().stamp }

// IDPrefix is what the ids of the topic's messages begin with.
func (t *Topic) IDPrefix() uint16 { return t.o.IDPrefix }

// ReplicaStamp is the Stamp of a replicated topic of which set is set, which by names; it is
// never nil.
func (c *Common) ReplicaStamp(name string, set settings.Topic, by uint64) *Stamp {
	o := Options{Name: name, Replicated: true, Common: c}
	var s Stamp
	if there := o.configured(set).stamp; there != nil {
		s = *there
	}
	s.by = by
	return &s
}

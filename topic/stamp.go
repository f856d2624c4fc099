package topic

import (
	"qmq/internal/jsonpointer"
	"qmq/message"
	"qmq/settings"
)

// Stamp says of messages what their bodies do, as the topic's settings ask for. It is
// asked for once a batch, and nil where there is nothing to say, which is usual. It is
// never changed and may be used concurrently.
type Stamp struct {
	key *jsonpointer.Pointer // where the key is; nil: nowhere
}

// newStamp is what settings ask for.
func newStamp(e *settings.EffectiveTopic) *Stamp {
	s := Stamp{key: e.KeyFrom.Pointer()}
	if s == (Stamp{}) {
		return nil
	}
	return &s
}

// Apply completes what a publisher says of a message with what the body does. What the
// publisher says counts. The body must stay as it is as long as m is used. It is applied
// to all that is published, also to what is put back or moved, and to dead letters.
func (s *Stamp) Apply(m *message.Meta, body []byte) {
	if s == nil {
		return
	}
	if s.key != nil && len(m.Key) == 0 {
		if key, ok := s.key.Scalar(body); ok {
			// Of long keys that begin alike all have the same one: more is kept in order than
			// was asked for, and never less.
			m.Key = key[:min(len(key), message.MaxKey)]
		}
	}
}

// Stamp is what is to be said of the messages of a batch that is about to be made for
// the topic.
func (t *Topic) Stamp() *Stamp { return t.config.Load().stamp }

// IDPrefix is what the ids of the topic's messages begin with.
func (t *Topic) IDPrefix() uint16 { return t.o.IDPrefix }

// ReplicaStamp is the Stamp of a replicated topic of which set is set.
func (c *Common) ReplicaStamp(name string, set settings.Topic) *Stamp {
	o := Options{Name: name, Replicated: true, Common: c}
	return o.configured(set).stamp
}

package machine

import (
	"encoding/binary"
	"slices"
	"time"

	"qmq/replica/entry"
	"qmq/state"
)

// SameAction is for how long after an action was asked for first the same one counts
// as that, when it comes through another member.
const SameAction = time.Minute

// Asked is an action that was asked for, and by whom. Its first moment and topic are
// those of By's first.
type Asked struct {
	By []entry.Action // each through another member, in the order in which they came first
}

// Through is what came through a member last; nil: nothing did.
func (a *Asked) Through(member uint64) *entry.Action {
	for i := range a.By {
		if a.By[i].Member == member {
			return &a.By[i]
		}
	}
	return nil
}

// Asked is who has asked for the same action lately; ok is false when nobody did.
// Whoever asks says when that is, as of an action.
func (m *Machine) Asked(action *entry.Action) (a Asked, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.s.asked {
		if a := m.s.asked[i]; a.By[0].Same(action) && !a.old(action.At) {
			return Asked{slices.Clone(a.By)}, true
		}
	}
	return Asked{}, false
}

// old says that an action at a time is none of these.
func (a *Asked) old(at int64) bool { return at-a.By[0].At >= int64(SameAction) }

// note notes an action. What is too old for another to be the same is forgotten, by
// the time that this one tells.
func (s *shard) note(n *entry.Action) {
	if s.askedShared {
		s.asked, s.askedShared = slices.Clone(s.asked), false
	}
	s.asked = slices.DeleteFunc(s.asked, func(a Asked) bool { return a.old(n.At) })
	if n.Replays() { // a channel that begins elsewhere since did not begin there last
		s.asked = slices.DeleteFunc(s.asked, func(a Asked) bool { return a.replays(n.Name, n.Channel) && !a.By[0].Same(n) })
	}
	i := slices.IndexFunc(s.asked, func(a Asked) bool { return a.By[0].Same(n) })
	if i < 0 {
		s.asked = append(s.asked, Asked{By: []entry.Action{*n}})
		return
	}
	s.asked[i] = Asked{By: noted(s.asked[i].By, n)}
}

// noted is a new list with an action. The same through the same member is another one,
// but for the end of a topic, for which all have to ask. So is the end of another topic
// when the first to ask for the end of one does so again.
func noted(by []entry.Action, n *entry.Action) []entry.Action {
	a := Asked{by}
	switch before := a.Through(n.Member); {
	case before == nil:
		return append(slices.Clip(by), *n)
	case n.Op != state.DeleteTopic, before.Topic != n.Topic:
		return []entry.Action{*n}
	}
	by = slices.DeleteFunc(slices.Clone(by), func(old entry.Action) bool { return old.Member == n.Member })
	return append(by, *n)
}

// replays says that an action had a channel begin somewhere; without a name, any of the topic.
func (a *Asked) replays(topic, channel string) bool {
	by := &a.By[0]
	return by.Replays() && by.Name == topic && (channel == "" || by.Channel == channel)
}

// forgetReplays forgets where channels were asked to begin that are deleted.
func (s *shard) forgetReplays(topic, channel string) {
	if !slices.ContainsFunc(s.asked, func(a Asked) bool { return a.replays(topic, channel) }) {
		return
	}
	s.asked = slices.DeleteFunc(slices.Clone(s.asked), func(a Asked) bool { return a.replays(topic, channel) })
	s.askedShared = false
}

// noteDone notes an action with what came of the change that was made for it. One that has a
// channel begin somewhere does not count unless that was done.
func (s *shard) noteDone(a *entry.Action, topology []TopologyOutcome) {
	noted := *a
	if a.Replays() && len(topology) > 0 {
		if topology[0].Result != Done {
			return
		}
		noted.From = topology[0].Entry.Start
	}
	s.note(&noted)
}

// asked writes a frame for each action.
func (w *frameWriter) asked(list []Asked) bool {
	for _, a := range list {
		w.begin(frameAsked, uint64(len(a.By)))
		for i := range a.By {
			w.buf = a.By[i].AppendTo(w.buf)
		}
		if !w.end(nil) {
			return false
		}
	}
	return true
}

func (l *loader) takeAsked(b []byte) error {
	n, size := binary.Uvarint(b)
	if size <= 0 || n == 0 {
		return errFrame
	}
	var a Asked
	for b = b[size:]; n > 0; n-- {
		action, rest, err := entry.DecodeAction(b)
		if err != nil {
			return errFrame
		}
		a.By, b = append(a.By, action), rest
	}
	if len(b) > 0 {
		return errFrame
	}
	l.s.asked = append(l.s.asked, a)
	return nil
}

package machine

import (
	"qmq/internal/names"
	"qmq/internal/seqset"
	"qmq/state"
)

// What an entry of the topology leaves to be filled in, as it was made without
// serving the topic, is filled in when it is applied, everywhere alike:
//
//	CreateTopic    Topic 0: the next incarnation; FanOut: raised above every number of the shard
//	CreateChannel  Channel 0: the next incarnation; Start 0: where the fan-out is
//	PauseTopic, DeleteChannel (of the last one), EmptyChannel    FanOut 0: where the fan-out is
//	EmptyTopic     no Void: all that waits in the topic
//	RewindChannel  Start: raised to what replicas have kept
//	RetainFrom     Start: raised to where replicas have kept everything so far

// changeTopology makes an entry's change.
func (s *shard) changeTopology(e state.Entry) TopologyOutcome {
	if e.Op == state.CreateTopic {
		return s.createTopic(e)
	}
	t := s.topics[e.Topic]
	switch {
	case notOfShards(e.Op):
		return TopologyOutcome{Entry: e, Result: Refused}
	case t == nil, ofChannel(e.Op) && t.st.Channels[e.Channel] == nil:
		return TopologyOutcome{Entry: e, Result: Gone}
	case e.Op == state.CreateChannel:
		return s.createChannel(t, e)
	case e.Op == state.RetainFrom:
		return s.retain(t, e)
	case e.Op == state.RewindChannel:
		return s.rewind(t, e)
	case e.Op == state.DeleteTopic:
		s.forgetReplays(t.st.Name, "")
		delete(s.topics, e.Topic)
		delete(s.names, t.st.Name)
	default:
		t.fillIn(&e)
	}
	switch e.Op {
	case state.EmptyTopic:
		s.miss(t, t.count(e.Void))
	case state.EmptyChannel:
		s.never(t, e)
	case state.DeleteChannel:
		s.forgetReplays(t.st.Name, t.st.Channels[e.Channel].Name)
	}
	s.apply(t, e)
	return TopologyOutcome{Entry: e, Result: Done}
}

// count is how many messages a range has.
func (t *topic) count(r seqset.Range) (n uint64) {
	for _, x := range seqset.Difference([]seqset.Range{r}, t.st.Voids) {
		n += x.Len()
	}
	return min(n, t.messages)
}

// miss notes that messages do not come to any channel of a topic.
func (s *shard) miss(t *topic, n uint64) {
	for id := range s.own(t).Channels {
		s.ownChannel(t, id)
		t.st.Channels[id].Missed += n
	}
}

// apply makes the change of an entry that is filled in.
func (s *shard) apply(t *topic, e state.Entry) {
	st := s.own(t)
	s.ownChannel(t, e.Channel)
	if e.Op == state.VoidRange {
		for id := range st.Channels {
			s.ownChannel(t, id)
		}
	}
	s.st.Apply(e)
	clear(s.st.Deleted) // whose files there may be is told by their names
	clear(s.st.DeletedChannels)
	switch e.Op {
	case state.EmptyTopic, state.VoidRange, state.DeleteChannel, state.CreateChannel:
		st.PruneVoids(st.Kept())
	}
}

// notOfShards says that an operation is about what each replica has for itself.
func notOfShards(op state.Op) bool {
	return op == state.GiveUp || op == state.AckDamage || op == state.ForgetDamage
}

func ofChannel(op state.Op) bool {
	switch op {
	case state.DeleteChannel, state.PauseChannel, state.UnpauseChannel, state.EmptyChannel, state.ConfigureChannel,
		state.RewindChannel, state.NeverAgain:
		return true
	}
	return false
}

func keepable(name string) bool { return names.Valid(name) && !names.IsEphemeral(name) }

func (s *shard) createTopic(e state.Entry) TopologyOutcome {
	if id, taken := s.names[e.Name]; taken {
		e.Topic = id
		return TopologyOutcome{Entry: e, Result: Exists}
	}
	if e.Topic == 0 {
		e.Topic = s.st.MaxIncarnation + 1
	}
	if !keepable(e.Name) || s.topics[e.Topic] != nil {
		return TopologyOutcome{Entry: e, Result: Refused}
	}
	e.FanOut = max(e.FanOut, s.top, 1)
	s.top = max(s.top, e.FanOut)
	s.st.Apply(e)
	s.add(&topic{st: s.st.Topics[e.Topic], next: e.FanOut})
	return TopologyOutcome{Entry: e, Result: Done}
}

// createChannel makes a channel that gets what its entry says, but nothing that
// replicas may have given up already: what everybody has finished below the lowest
// floor and is not retained, and above it what all channels have, which is void from
// now on.
func (s *shard) createChannel(t *topic, e state.Entry) TopologyOutcome {
	for id, c := range t.st.Channels {
		if c.Name == e.Name {
			e.Channel = id
			return TopologyOutcome{Entry: e, Result: Exists}
		}
	}
	if e.Channel == 0 {
		e.Channel = s.st.MaxIncarnation + 1
	}
	if !keepable(e.Name) || t.st.Channels[e.Channel] != nil {
		return TopologyOutcome{Entry: e, Result: Refused}
	}
	if e.Start == 0 {
		e.Start = t.fanOut()
	}
	e.Start = min(max(e.Start, t.st.Kept()), t.next)
	gone := t.gone(e.Start)
	s.apply(t, e)
	t.st.Channels[e.Channel].Materialise()
	s.void(t, gone)
	t.st.Channels[e.Channel].Missed = t.messages - t.count(seqset.Range{From: e.Start, To: t.next})
	return TopologyOutcome{Entry: e, Result: Done, Gone: t.voidsFrom(e.Start)}
}

// rewind has a channel begin anew with what its entry says, but with nothing that replicas
// may have given up already, as a new channel does.
func (s *shard) rewind(t *topic, e state.Entry) TopologyOutcome {
	e.Start = min(max(e.Start, t.st.Kept()), t.fanOut())
	gone := t.gone(e.Start)
	s.apply(t, e)
	s.void(t, gone)
	return TopologyOutcome{Entry: e, Result: Done, Gone: t.voidsFrom(e.Start)}
}

// never notes of what a channel is emptied: it does not come back with a rewind.
func (s *shard) never(t *topic, e state.Entry) {
	c := t.st.Channels[e.Channel]
	c.Materialise()
	if owed, _ := c.Acked.Gaps(nil, c.Floor(), e.FanOut, maxOwed); len(owed) > 0 {
		s.apply(t, state.NeverOf(e.Topic, e.Channel, owed))
	}
}

// fanOut is where the fan-out position is: it follows the end where there are
// channels, unless the topic is paused.
func (t *topic) fanOut() uint64 {
	if t.st.Paused || len(t.st.Channels) == 0 {
		return min(t.st.FanOut, t.next)
	}
	return t.next
}

// void makes numbers void that replicas may have given up.
func (s *shard) void(t *topic, list []seqset.Range) {
	for _, r := range list {
		s.apply(t, state.Entry{Op: state.VoidRange, Topic: t.st.Incarnation, Void: r})
	}
}

// voidsFrom is what is void from a number on: what is so for what replicas may have given
// up, whoever serves the topic need not know yet.
func (t *topic) voidsFrom(start uint64) []seqset.Range {
	return seqset.Difference(t.st.Voids, []seqset.Range{{To: start}})
}

// gone is what replicas may have given up from a number on: every channel has finished
// it, and it is not retained.
func (t *topic) gone(start uint64) []seqset.Range {
	end := t.fanOut()
	if t.st.Retained != 0 {
		end = min(end, t.st.Retained)
	}
	if len(t.st.Channels) == 0 || start >= end {
		return nil
	}
	all := seqset.Range{From: start, To: end}
	return seqset.Difference([]seqset.Range{all}, t.st.Owed(nil, all, maxOwed))
}

// maxOwed is more ranges than a channel can owe.
const maxOwed = int(^uint(0) >> 1)

// fillIn fills in what an entry leaves open, and keeps it below the end.
func (t *topic) fillIn(e *state.Entry) {
	e.FanOut = min(e.FanOut, t.next)
	e.Void.To = min(e.Void.To, t.next)
	if e.FanOut != 0 {
		return
	}
	switch e.Op {
	case state.EmptyTopic:
		if e.Void == (seqset.Range{}) && t.fanOut() < t.next {
			e.Void = seqset.Range{From: t.fanOut(), To: t.next}
			e.FanOut = t.next
		}
	case state.PauseTopic, state.EmptyChannel:
		e.FanOut = t.fanOut()
	case state.DeleteChannel:
		if len(t.st.Channels) == 1 {
			e.FanOut = t.fanOut()
		}
	}
}

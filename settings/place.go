package settings

import (
	"fmt"
	"slices"
	"time"
)

// Place is what of a topic decides which settings it can have.
type Place struct {
	Ephemeral  bool // its messages are in memory alone
	Replicated bool // several nodes have it together
	// MaxIDs is for how many ids of a topic there is memory; 0: for as many as there may be.
	MaxIDs int64
	// Otherwise is what holds where nobody says anything of the topic. Its Sync is that of
	// all replicated topics.
	Otherwise Topic
}

// Refuse says why settings cannot be met here, of which set is what was set of this
// topic by its name, or by a pattern, and inForce what is in force with it. The error is
// Mistakes.
func (p *Place) Refuse(set, inForce Topic) error { return all(p.faults(set, inForce)) }

// RefuseChange is Refuse of what a change makes different of what was set. What was set
// before and cannot be met any more, as that of a node that had more memory, keeps nobody
// from changing something else.
func (p *Place) RefuseChange(was, set, inForce Topic) error {
	return touched(p.faults(set, inForce), differing(topicKeys, &was, &set))
}

func (p *Place) faults(set, inForce Topic) (list []fault) {
	refuse := func(wrong bool, text string, of ...string) {
		if wrong {
			list = append(list, fault{text, of})
		}
	}
	retains := value(set.RetentionTime) > 0 || value(set.RetentionBytes) > 0
	if p.Ephemeral {
		refuse(value(set.Sync) == Always, `sync must be "interval" for an #ephemeral topic, whose messages are in memory; in force is "interval"`, "sync")
		refuse(retains, "retention_time and retention_bytes must be 0 for an #ephemeral topic, whose messages are in memory; in force is 0",
			"retention_time", "retention_bytes")
	}
	ids := value(set.DedupMaxIDs)
	refuse(p.MaxIDs > 0 && ids > p.MaxIDs, fmt.Sprintf("dedup_max_ids must be at most %d here, not %d: an id takes up to 40 bytes, and those of a topic may take an eighth of the node's memory; in force is %d",
		p.MaxIDs, ids, value(inForce.DedupMaxIDs)), "dedup_max_ids")
	if p.Replicated {
		all := value(p.Otherwise.Sync)
		refuse(set.Sync != nil && *set.Sync != all, fmt.Sprintf("sync of a replicated topic is what --replica-sync says for the whole set, whose topics share the log "+
			"that a member acknowledges; in force is %q", all), "sync")
	}
	return list
}

// narrow is what can be in force here. How many ids a set has agreed on is in force on each
// member: one with less memory must not have the others forget.
func (p *Place) narrow(t, set Topic) Topic {
	if p.Ephemeral {
		t.Sync = baseTopic.Sync
	}
	if p.Replicated {
		t.Sync = p.Otherwise.Sync
	}
	if agreed := p.Replicated && set.DedupMaxIDs != nil; p.MaxIDs > 0 && value(t.DedupMaxIDs) > p.MaxIDs && !agreed {
		t.DedupMaxIDs = &p.MaxIDs
	}
	if p.Ephemeral {
		t.RetentionTime, t.RetentionBytes = baseTopic.RetentionTime, baseTopic.RetentionBytes
	}
	return t
}

// Refuse says why settings of a channel cannot be met, of which c is what was set of it
// by its name, or by a pattern, and inForce what is in force with it. The node's consumers
// that ask for no timeout were told one of timeout, and none may be longer than longest.
// The error is Mistakes.
func (c Channel) Refuse(inForce Channel, timeout, longest time.Duration) error {
	return all(c.faults(inForce, timeout, longest))
}

// RefuseChange is Refuse of what a change makes different of what was set, and with that of
// what was in force, as Place.RefuseChange is of a topic.
func (c Channel) RefuseChange(was, wasInForce, inForce Channel, timeout, longest time.Duration) error {
	changed := append(differing(channelKeys, &was, &c), differing(channelKeys, &wasInForce, &inForce)...)
	return touched(c.faults(inForce, timeout, longest), changed)
}

func (c Channel) faults(inForce Channel, timeout, longest time.Duration) (list []fault) {
	if d := value(c.MsgTimeout); c.MsgTimeout != nil && (d < timeout || d > max(longest, timeout)) {
		list = append(list, fault{fmt.Sprintf("msg_timeout must be from %s (--msg-timeout, which consumers were told) to %s (--max-msg-timeout), not %s; in force is %s",
			quote(showSpan(timeout)), quote(showSpan(max(longest, timeout))), quote(showSpan(d)), quote(showSpan(timeout))), []string{"msg_timeout"}})
	}
	ordered, stops := value(inForce.Ordered) == OrderedKey || value(inForce.Ordered) == OrderedChannel, value(inForce.AfterAttempts) == Stop
	if ordered && value(inForce.Prioritised) {
		list = append(list, fault{`prioritised must be false where ordered is "key" or "channel": what is urgent would overtake`, []string{"prioritised", "ordered"}})
	}
	if stops && (!ordered || value(inForce.MaxAttempts) == 0) {
		list = append(list, fault{`after_max_attempts may be "stop" only where ordered is "key" or "channel", and max_attempts is not 0`,
			[]string{"after_max_attempts", "ordered", "max_attempts"}})
	}
	if value(inForce.MaxAttempts) > 0 && value(inForce.DeadLetterTopic) == "" && !stops {
		list = append(list, fault{"max_attempts needs a dead_letter_topic, where messages go after so many; in force is none",
			[]string{"max_attempts", "dead_letter_topic", "after_max_attempts"}})
	}
	return list
}

// fault is a mistake, and the settings one of which has to be another.
type fault struct {
	text string
	of   []string
}

func all(faults []fault) error {
	var m Mistakes
	for _, f := range faults {
		m = append(m, f.text)
	}
	return m.err()
}

// touched are the faults of which some setting is listed.
func touched(faults []fault, names []string) error {
	return all(slices.DeleteFunc(faults, func(f fault) bool {
		return !slices.ContainsFunc(f.of, func(name string) bool { return slices.Contains(names, name) })
	}))
}

// differing lists the settings that two do not have in common.
func differing[S any](keys []key[S], a, b *S) (names []string) {
	for i := range keys {
		k := &keys[i]
		if k.isSet(a) != k.isSet(b) || k.isSet(a) && k.show(a) != k.show(b) {
			names = append(names, k.name)
		}
	}
	return names
}

package settings

import (
	"fmt"
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
// topic by its name, and inForce what is in force with it. The error is Mistakes.
func (p *Place) Refuse(set, inForce Topic) error {
	var m Mistakes
	refuse := func(wrong bool, text string) {
		if wrong {
			m = append(m, text)
		}
	}
	retains := value(set.RetentionTime) > 0 || value(set.RetentionBytes) > 0
	if p.Ephemeral {
		refuse(value(set.Sync) == Always, `sync must be "interval" for an #ephemeral topic, whose messages are in memory; in force is "interval"`)
		refuse(retains, "retention_time and retention_bytes must be 0 for an #ephemeral topic, whose messages are in memory; in force is 0")
	}
	ids := value(set.DedupMaxIDs)
	refuse(p.MaxIDs > 0 && ids > p.MaxIDs, fmt.Sprintf("dedup_max_ids must be at most %d here, not %d: an id takes up to 40 bytes, and those of a topic may take an eighth of the node's memory; in force is %d",
		p.MaxIDs, ids, min(value(inForce.DedupMaxIDs), p.MaxIDs)))
	if p.Replicated {
		all := value(p.Otherwise.Sync)
		refuse(set.Sync != nil && *set.Sync != all, fmt.Sprintf("sync of a replicated topic is what --replica-sync says for the whole set, whose topics share the log "+
			"that a member acknowledges; in force is %q", all))
	}
	return m.err()
}

// narrow is what can be in force here of what patterns and nodes say of all topics.
func (p *Place) narrow(t Topic) Topic {
	if p.Ephemeral {
		t.Sync = baseTopic.Sync
	}
	if p.Replicated {
		t.Sync = p.Otherwise.Sync
	}
	if p.MaxIDs > 0 && value(t.DedupMaxIDs) > p.MaxIDs {
		t.DedupMaxIDs = &p.MaxIDs
	}
	if p.Ephemeral {
		t.RetentionTime, t.RetentionBytes = baseTopic.RetentionTime, baseTopic.RetentionBytes
	}
	return t
}

// Refuse says why settings of a channel cannot be met, of which c is what was set of it
// by its name, and inForce what is in force with it. The node's consumers that ask for
// no timeout were told one of timeout, and none may be longer than longest. The error is
// Mistakes.
func (c Channel) Refuse(inForce Channel, timeout, longest time.Duration) error {
	var m Mistakes
	if d := value(c.MsgTimeout); c.MsgTimeout != nil && (d < timeout || d > max(longest, timeout)) {
		m = append(m, fmt.Sprintf("msg_timeout must be from %s (--msg-timeout, which consumers were told) to %s (--max-msg-timeout), not %s; in force is %s",
			quote(showSpan(timeout)), quote(showSpan(max(longest, timeout))), quote(showSpan(d)), quote(showSpan(timeout))))
	}
	ordered, stops := value(inForce.Ordered) == OrderedKey || value(inForce.Ordered) == OrderedChannel, value(inForce.AfterAttempts) == Stop
	if ordered && value(inForce.Prioritised) {
		m = append(m, `prioritised must be false where ordered is "key" or "channel": what is urgent would overtake`)
	}
	if stops && (!ordered || value(inForce.MaxAttempts) == 0) {
		m = append(m, `after_max_attempts may be "stop" only where ordered is "key" or "channel", and max_attempts is not 0`)
	}
	if value(inForce.MaxAttempts) > 0 && value(inForce.DeadLetterTopic) == "" && !stops {
		m = append(m, "max_attempts needs a dead_letter_topic, where messages go after so many; in force is none")
	}
	return m.err()
}

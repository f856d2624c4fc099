package broker

import (
	"fmt"

	"qmq/journal"
	"qmq/state"
)

// A metadata.json that is younger than all that is left of the journal knows what
// the journal's lost end said: pauses are as it says, and a topic without files
// that it does not name was deleted. Another topic, or a channel, that it does not
// name is served, and reported: a change that was under way when the file was
// written is not in it either.

// outlives says that the file is younger than everything that is left of the
// journal: the log of its time ends before it was written, and no later one tells
// of topics or channels.
func (m *metadataFile) outlives(found *journal.Found) bool {
	for n, log := range found.Logs {
		if n > m.Journal && log.Entries {
			return false
		}
	}
	log, there := found.Logs[m.Journal]
	return m.Journal > found.LastLog || there && log.End < m.JournalEnd
}

// correct has a topic and its channels paused as the younger metadata.json says,
// and doubts the channels that it has not. Fan-out is taken to have stood where
// the channels are known to have come to.
func (r *reconstruction) correct(ts *state.Topic, mt metadataTopic) {
	end := func(op state.Op, channel uint64) {
		r.ends = append(r.ends, state.Entry{Op: op, Topic: ts.Incarnation, Channel: channel, FanOut: ts.FanOut})
	}
	if ts.Paused != mt.Paused {
		ts.Paused = mt.Paused
		ts.FanOut = max(ts.FanOut, reached(ts))
		end(choose(mt.Paused, state.PauseTopic, state.UnpauseTopic), 0)
	}
	named := make(map[uint64]metadataChannel)
	for _, c := range mt.Channels {
		named[uint64(c.Incarnation)] = c
	}
	for n, c := range ts.Channels {
		switch was, ok := named[n]; {
		case !ok:
			r.doubted[n] = true
		case c.Paused != was.Paused:
			c.Paused = was.Paused
			end(choose(c.Paused, state.PauseChannel, state.UnpauseChannel), n)
		}
	}
}

func choose(paused bool, pause, unpause state.Op) state.Op {
	if paused {
		return pause
	}
	return unpause
}

// reached is one past the highest number that a channel of the topic was given.
func reached(ts *state.Topic) (end uint64) {
	for _, c := range ts.Channels {
		end = max(end, c.Reached())
	}
	return end
}

// reportDoubted reports what is served although it may have been deleted, for good
// as reportReconstructed does.
func (b *Broker) reportDoubted(st *state.State, doubted map[uint64]bool) {
	for _, f := range b.dir().doubts(st, doubted) {
		if b.report(f) == news {
			b.o.Logger.Error("the journal lost its end, with which a deletion may be lost", "topic", f.Topic, "channel", f.Channel)
		}
	}
	b.damages.flush()
}

// doubts are the findings about topics and channels that may have been deleted.
func (d dataDir) doubts(st *state.State, doubted map[uint64]bool) (list []Finding) {
	const text = "The journal lost its end, and metadata.json, which is younger than what is left of it, does not name the %s; it may have been deleted, and is served."
	for _, ts := range st.Topics {
		path := d.log(ts.Name, ts.Incarnation)
		if doubted[ts.Incarnation] {
			list = append(list, Finding{
				ID: findingID(DamagedJournal, ts.Incarnation), Kind: DamagedJournal, Topic: ts.Name, Path: path, Text: fmt.Sprintf(text, "topic"),
			})
		}
		for n, c := range ts.Channels {
			if doubted[n] {
				list = append(list, Finding{
					ID:   findingID(DamagedJournal, ts.Incarnation, fmt.Sprintf("%016x", n)),
					Kind: DamagedJournal, Topic: ts.Name, Channel: c.Name, Path: path, Text: fmt.Sprintf(text, "channel"),
				})
			}
		}
	}
	return list
}

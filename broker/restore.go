package broker

import (
	"errors"
	"fmt"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/journal"
	"qmq/state"
	"qmq/topic"
)

// restore brings back the topics that the journal knows, and those that it knew
// before it was damaged. A topic that cannot be opened is kept out; the others
// are served.
func (b *Broker) restore(found *journal.Found) error {
	st := found.State
	b.last.Store(st.MaxIncarnation)
	b.sameBoot = found.SameBoot
	was, err := b.dir().readDamage()
	if err != nil && !isNotExist(err) {
		b.o.Logger.Warn("what was found damaged earlier is not known", "path", b.damagePath(), "error", err)
	}
	b.damage.restore(was, st.Acknowledged)
	dirs, err := b.dir().topicDirs()
	if err != nil {
		return err
	}
	if err := b.finishDeletions(st, dirs); err != nil {
		return err
	}
	e := &evidence{dirs: dirs, knows: b.damage.knows, boot: b.o.BootID}
	e.metadata, e.missing = b.dir().readMetadata()
	if e.missing == nil && e.metadata.tellsMore(found) {
		b.o.Logger.Error("journal: the end is missing of what it was told", "known_from", metadataName)
		found.Incomplete = true
	}
	b.journalDamage(found)
	if err := b.reconstruct(found, e); err != nil {
		return err
	}
	for _, ts := range st.Topics {
		if err := b.restoreTopic(ts); err != nil {
			return err
		}
	}
	unsettled := b.settle()
	if err := b.sweep(st, dirs); err != nil {
		return err
	}
	b.forgetAcknowledgements(st)
	if unsettled != nil {
		b.background.Go(b.settleLater)
	}
	return nil
}

// restoreTopic brings back a topic. The error is one that keeps the node from
// starting.
func (b *Broker) restoreTopic(ts *state.Topic) error {
	s := &listing{incarnation: ts.Incarnation}
	t, err := b.openTopic(ts)
	switch {
	case err == nil:
		s.topic = t
	case errors.Is(err, errNotJournalled):
		return err
	default:
		b.unopenable(s, ts, err)
	}
	b.mu.Lock()
	b.topics[ts.Name] = s
	b.mu.Unlock()
	if t != nil {
		b.announce(t)
		b.learnRestored(t, ts)
	}
	return nil
}

// openTopic opens the log of a topic that is known and makes the topic.
func (b *Broker) openTopic(ts *state.Topic) (*topic.Topic, error) {
	o := b.topicOptions(ts.Name, ts.Incarnation, false)
	var err error
	k := knownOf(ts, b.sameBoot, b.reconstructed[ts.Incarnation])
	if o.Log, err = b.openLog(o, k); err != nil {
		return nil, err
	}
	if err := b.journalReconstructed(ts, o.Log.Start()); err != nil {
		o.Log.Discard()
		return nil, err
	}
	return topic.Restore(o, ts), nil
}

// announce tells the directories of a topic with all its channels.
func (b *Broker) announce(t *topic.Topic) {
	b.register(t, "")
	for _, c := range t.Channels() {
		b.register(t, c.Name())
	}
}

// learnRestored asks for the channels of a topic that did not learn them before
// the last stop.
func (b *Broker) learnRestored(t *topic.Topic, ts *state.Topic) {
	if ts.Unlearnt && b.o.Directory != nil {
		b.learnLater(t, errNotLearnt)
	}
}

// journalDamage reports what of the journal was lost.
func (b *Broker) journalDamage(found *journal.Found) {
	if f, amiss := b.dir().journalFinding(found); amiss {
		b.report(f)
	}
}

// journalFinding is what is told of a journal of which something is lost.
func (d dataDir) journalFinding(found *journal.Found) (f Finding, amiss bool) {
	if found.LostBytes == 0 && !found.Incomplete {
		return f, false
	}
	text := "A part of the journal cannot be read; what it said of messages is delivered again."
	if found.Incomplete {
		text = "A part of the journal cannot be read or is missing; topics and channels that it alone knew are reconstructed, deletions and pauses may be undone, and messages are delivered again."
	}
	return Finding{
		ID: fmt.Sprintf("%s/%d", DamagedJournal, found.LostBytes), Kind: DamagedJournal, Bytes: found.LostBytes,
		Path: d.journal(), Text: text,
	}, true
}

// highest is the highest sequence number that the journal mentions of a topic.
func highest(ts *state.Topic) uint64 {
	top := ts.FanOut
	for _, v := range ts.Voids {
		top = max(top, v.To)
	}
	for _, c := range ts.Channels {
		top = max(top, c.Reached())
	}
	return top
}

// known is what the journal knows of a topic's log.
type known struct {
	diskqueue.Expected
	highest uint64 // number that it mentions
}

func knownOf(ts *state.Topic, sameBoot, reconstructed bool) known {
	// What was only written is forgotten by the journal when the machine was down.
	end := max(ts.SyncedEnd, ts.WrittenEnd)
	return known{
		highest: highest(ts),
		Expected: diskqueue.Expected{
			// Of a topic that was reconstructed after the end of the machine nothing is
			// known to have been synced.
			Known: ts.Start > 0 || end > 0 || reconstructed && !sameBoot, Start: ts.Start, KnownEnd: end, GivenUp: ts.GivenUp, SameBoot: sameBoot,
		},
	}
}

// nextNumber is where a log goes on, at every start: no number is given out
// twice, so it is above all that the log has seen, all that the journal mentions,
// and all that can have been given out and lost by this time.
func (b *Broker) nextNumber(k known) func(seen uint64) uint64 {
	return func(seen uint64) uint64 { return max(seen, k.highest+1, uint64(b.clock.Wall())>>8) }
}

// memorySegmentBytes is the size of a full segment in memory: what everybody has
// finished is given back by the segment.
const memorySegmentBytes = 256 << 10

// openLog opens the log of a topic.
func (b *Broker) openLog(o topic.Options, k known) (*diskqueue.Log, error) {
	shared, segmentBytes := b.disk, b.o.SegmentBytes
	if o.Ephemeral {
		shared, segmentBytes = b.memory, min(segmentBytes, memorySegmentBytes)
	}
	log, rec, err := diskqueue.Open(shared, diskqueue.Options{
		Dir:          b.logDir(o.Name, o.Incarnation),
		Incarnation:  o.Incarnation,
		SegmentBytes: segmentBytes,
		HotMessages:  b.o.MemQueueSize,
		Next:         b.nextNumber(k),
		Expected:     k.Expected,
		Found:        func(f diskqueue.Finding) { b.reportLog(o.Name, o.Incarnation, f) },
		Now:          b.clock.Wall,
		Logger:       b.o.Logger,
	})
	b.reportRecovery(o.Name, o.Incarnation, &rec)
	b.noteSkipped(o.Incarnation, &rec)
	return log, err
}

func (b *Broker) noteSkipped(incarnation uint64, rec *diskqueue.Recovery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.partly = b.partly || rec.Unread
	for _, r := range rec.Skipped {
		b.skipped = append(b.skipped, state.Entry{Op: state.GiveUp, Topic: incarnation, Void: r})
	}
}

// journalSkipped has the journal know which numbers the logs just opened hold no
// record of, and never will: later starts are not to miss them. What the journal
// does not take is noted with what comes next.
func (b *Broker) journalSkipped() error {
	return b.journalSkippedBy(b.journal.Commit)
}

func (b *Broker) journalSkippedBy(commit func(...state.Entry) error) error {
	entries := b.takeSkipped()
	err := commit(entries...)
	if err != nil {
		b.mu.Lock()
		b.skipped = append(entries, b.skipped...)
		b.mu.Unlock()
		b.o.Logger.Warn("numbers that this start skips may be called damage by a later one, as long as the journal does not take them", "error", err)
	}
	return err
}

func (b *Broker) takeSkipped() (entries []state.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, b.skipped = b.skipped, nil
	return entries
}

// settle is journalSkipped, and has the journal know that all is noted that a loss
// of power can have taken, once every log could be read: later starts in this boot
// of the machine call damage what is missing then, see journal.Settle. After an
// error there is more to do.
func (b *Broker) settle() error {
	b.mu.Lock()
	partly := b.partly
	b.mu.Unlock()
	switch {
	case len(b.unopened()) > 0:
		return errors.Join(errUnopened, b.journalSkipped())
	case partly:
		b.o.Logger.Warn("not all logs could be read: until a start reads them, what is missing counts as damage only where it was synced")
		return b.journalSkipped()
	default:
		return b.journalSkippedBy(b.journal.Settle)
	}
}

func (b *Broker) topicOptions(name string, incarnation uint64, ephemeral bool) topic.Options {
	return topic.Options{
		Name: name, Incarnation: incarnation, IDPrefix: b.o.NodeID, Ephemeral: ephemeral,
		State:  b.journal,
		Sync:   topic.SyncPolicy{Every: b.o.SyncEvery, Timeout: b.o.SyncTimeout, Journal: b.journal},
		Common: b.common,
	}
}

// commonOptions are what all topics have in common.
func (b *Broker) commonOptions() *topic.Common {
	return &topic.Common{
		Channels: &channel.Common{
			Clock:         b.clock,
			Deadlines:     b.deadlines,
			MsgTimeout:    b.o.MsgTimeout,
			MaxMsgTimeout: b.o.MaxMsgTimeout,
			MaxReqTimeout: b.o.MaxReqTimeout,
			MaxConsumers:  b.o.MaxChannelConsumers,
			LatencyWindow: b.o.LatencyWindow,
		},
		NewIncarnation:    b.newIncarnation,
		MemQueueSize:      b.o.MemQueueSize,
		MaxChannels:       b.o.MaxChannels,
		MaxIDs:            b.o.MaxIDs,
		NoAutoCreate:      b.o.NoAutoCreate,
		Settings:          b.o.Settings,
		ReplicaSync:       b.o.ReplicaSync,
		Cleaner:           b.cleaner,
		FreeSpace:         b.freeSpace,
		DeadLetters:       b.deadLetters,
		RouteDeadLetters:  b.routeDeadLetters,
		FailureChanged:    b.failureChanged,
		ReadFailed:        b.readFailed,
		Damaged:           b.lost,
		Abandoned:         b.abandoned,
		Changed:           b.metadata.changed,
		RegisterChannel:   b.register,
		UnregisterChannel: b.unregister,
		Logger:            b.o.Logger,
	}
}

// change makes a change of which topics there are, see topic.Change.
func (b *Broker) change(e state.Entry, apply, undo func()) error {
	err := topic.Change(b.journal.Commit, e, apply, undo)
	if err == nil {
		b.metadata.changed()
	}
	return err
}

package broker

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"qmq/diskqueue"
	"qmq/state"
	"qmq/topic"
)

// report takes a finding into the register, and tells what that knew of it.
// Whoever found it logs it with its details.
func (b *Broker) report(f Finding) novelty { return b.damage.add(f) }

// reportRecovery reports what was found amiss when a log was opened. What was
// acknowledged is one line of the log.
func (b *Broker) reportRecovery(name string, incarnation uint64, rec *diskqueue.Recovery) {
	findings, lost := 0, uint64(0)
	for _, f := range rec.Findings {
		if b.reportLog(name, incarnation, f) == acknowledged {
			findings, lost = findings+1, lost+f.Lost
		}
	}
	if findings > 0 {
		b.o.Logger.Info("log is damaged, which was acknowledged", "topic", name, "findings", findings, "lost", lost)
	}
}

// reportLog reports what is amiss with a log, and logs it if that is news.
func (b *Broker) reportLog(name string, incarnation uint64, f diskqueue.Finding) novelty {
	if f.Lost > 0 {
		b.damage.tell(incarnation, f.Range)
	}
	was := b.report(logFinding(name, incarnation, f))
	if was == news {
		b.o.Logger.Error("log is damaged", "topic", name, "kind", f.Kind, "path", f.Path, "first", f.Range.From, "numbers", f.Range.Len(),
			"lost", f.Lost, "copy", f.Copy, "error", f.Err)
	}
	return was
}

// logFinding is what is told of something amiss with a log.
func logFinding(topic string, incarnation uint64, f diskqueue.Finding) Finding {
	what := map[diskqueue.FindingKind]string{
		diskqueue.Damaged:       "Messages are damaged on the disk and lost",
		diskqueue.Unreadable:    "Messages are where the disk cannot be read, and lost",
		diskqueue.Missing:       "Messages that were stored are in no segment any more",
		diskqueue.HeaderDamaged: "The header of a segment is damaged; the segment is served all the same",
		diskqueue.Misplaced:     "A segment has the name of another; it is served all the same",
		diskqueue.Foreign:       "A file with the name of a segment cannot be told to be one of this topic, and is left alone",
		diskqueue.Inconsistent:  "The log contradicts itself",
	}[f.Kind]
	return Finding{
		ID:   findingID(DamageKind(f.Kind), incarnation, filepath.Base(f.Path), f.Range.From, f.Range.To),
		Kind: DamageKind(f.Kind), Topic: topic, From: f.Range.From, To: f.Range.To, Messages: f.Lost,
		Path: f.Path, Copy: f.Copy, Text: fmt.Sprintf("%s: %v.", what, f.Err),
	}
}

// levelOf is at which level something lasting is logged that would be worth one:
// what was acknowledged is worth no more than a remark.
func levelOf(was novelty, level slog.Level) slog.Level {
	if was == acknowledged {
		return slog.LevelInfo
	}
	return level
}

// lost is called when messages that a topic had turn out not to be there. What
// the log found damaged it has told of itself.
func (b *Broker) lost(t *topic.Topic, from, to, messages uint64) {
	if b.damage.wasTold(t.Incarnation(), from) {
		return
	}
	path := ""
	if !t.Ephemeral() {
		path = b.logDir(t.Name(), t.Incarnation())
	}
	b.report(Finding{
		ID: findingID(MissingRecords, t.Incarnation(), from), Kind: MissingRecords, Topic: t.Name(),
		From: from, To: to, Messages: messages, Path: path,
		Text: "Messages that were stored are not in the log any more.",
	})
}

// Damage returns what was found amiss and not acknowledged.
func (b *Broker) Damage() Damage { return b.damage.damage(^uint64(0)) }

// AcknowledgeDamage takes findings up to a number out of Damage for good, once
// the journal has it, and returns what they were.
func (b *Broker) AcknowledgeDamage(until uint64) (Damage, error) {
	b.acknowledging.Lock()
	defer b.acknowledging.Unlock()
	d := b.damage.damage(until)
	var entries []state.Entry
	for _, id := range b.damage.ids(until) {
		entries = append(entries, state.Entry{Op: state.AckDamage, Name: id})
	}
	if err := b.journal.Commit(entries...); err != nil {
		return Damage{}, fmt.Errorf("not acknowledged: %w", err)
	}
	b.damage.acknowledge(until)
	b.damages.flush()
	for _, f := range d.Findings {
		b.o.Logger.Info("damage is acknowledged", "id", f.ID, "topic", f.Topic, "channel", f.Channel, "messages", f.Messages, "text", f.Text)
	}
	return d, nil
}

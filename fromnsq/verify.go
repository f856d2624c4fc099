package fromnsq

import (
	"log/slog"
	"path/filepath"

	"qmq/broker"
	"qmq/journal"
	"qmq/state"
)

// verify reads all that was built, as a start does and more, and counts what each
// channel has to get.
func (b *build) verify() error {
	checked, err := broker.Check(broker.CheckOptions{FS: b.FS, DataPath: b.dir, BootID: b.BootID})
	if err != nil {
		return err
	}
	if len(checked.Findings) > 0 {
		return notWhole("%s", checked.Findings[0].Text)
	}
	found, err := journal.Read(journal.Options{FS: b.FS, Dir: filepath.Join(b.dir, "journal"), BootID: b.BootID, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	topics := make(map[string]*state.Topic)
	for _, ts := range found.State.Topics {
		topics[ts.Name] = ts
	}
	if len(checked.Topics) != len(b.built) || len(topics) != len(b.built) {
		return notWhole("%d topics of %d", len(topics), len(b.built))
	}
	for _, c := range checked.Topics {
		want := b.built[c.Name]
		if want == nil || c.Messages != want.messages {
			return notWhole("topic %s has %d messages", c.Name, c.Messages)
		}
		if err := want.check(topics[c.Name]); err != nil {
			return err
		}
	}
	return nil
}

// check counts what the channels of a topic have to get by what the journal says.
func (want *built) check(ts *state.Topic) error {
	if len(ts.Channels) != len(want.channels) {
		return notWhole("topic %s has %d channels of %d", ts.Name, len(ts.Channels), len(want.channels))
	}
	end := ts.WrittenEnd - min(want.standing, ts.WrittenEnd) // of what the channels have got
	for _, c := range ts.Channels {
		owed := end - min(c.Floor(), end)
		for r := range c.Acked.Ranges() {
			owed -= min(r.To, end) - min(r.From, end)
		}
		if n, there := want.channels[c.Name]; !there || owed != n {
			return notWhole("channel %s of topic %s has %d messages of %d", c.Name, ts.Name, owed, n)
		}
	}
	return nil
}

package broker

import (
	"path/filepath"

	"qmq/journal"
	"qmq/topic"
)

// DeleteTopic ends a topic with its channels and messages. One created later
// by that name shares nothing with it.
func (b *Broker) DeleteTopic(name string) error {
	t, ok := b.Existing(name)
	if !ok {
		return ErrNoTopic
	}
	return b.deleteTopic(t, func() error {
		if t.Ephemeral() {
			return nil
		}
		return b.journal.Commit(journal.Entry{Op: journal.DeleteTopic, Topic: t.Incarnation()})
	})
}

// deleteTopic takes the topic's name out of use, asks decide, and with its
// consent removes the topic.
func (b *Broker) deleteTopic(t *topic.Topic, decide func() error) error {
	s, err := b.beginDelete(t)
	if err != nil {
		return err
	}
	if err := decide(); err != nil {
		b.mu.Lock()
		close(s.gone)
		s.gone = nil
		b.mu.Unlock()
		return err
	}
	t.Discard()
	for _, c := range t.Channels() {
		b.journal.Detach(c)
	}
	b.removeLog(t)
	b.went(t, "")
	b.mu.Lock()
	delete(b.topics, t.Name())
	delete(b.refusing, t)
	delete(b.unlearnt, t)
	close(s.gone)
	b.mu.Unlock()
	b.snapshot.changed()
	return nil
}

func (b *Broker) beginDelete(t *topic.Topic) (*slot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrExiting
	}
	s, ok := b.topics[t.Name()]
	if !ok || s.topic != t || s.gone != nil {
		return nil, ErrNoTopic
	}
	s.gone = make(chan struct{})
	return s, nil
}

// removeLog renames the topic's directory, so that it is gone at once, and
// removes it in the background.
func (b *Broker) removeLog(t *topic.Topic) {
	fs, dir := b.o.FS, b.logDir(t.Name(), t.Incarnation())
	if t.Ephemeral() {
		if err := b.memory.FS().RemoveAll(dir); err != nil {
			b.o.Logger.Error("log of deleted topic not removed", "topic", t.Name(), "error", err)
		}
		return
	}
	doomed := filepath.Join(b.topicsDir(), deletedPrefix+filepath.Base(dir))
	if err := fs.Rename(dir, doomed); err != nil {
		doomed = dir // or it never had a record
	} else if err := fs.SyncDir(b.topicsDir()); err != nil {
		b.o.Logger.Error("directory not synced", "path", b.topicsDir(), "error", err)
	}
	b.background.Go(func() {
		if err := fs.RemoveAll(doomed); err != nil {
			b.o.Logger.Error("log of deleted topic not removed", "topic", t.Name(), "path", doomed, "error", err)
		}
	})
}

package broker

import (
	"path/filepath"

	"qmq/journal"
	"qmq/topic"
)

// DeleteTopic ends a topic with its channels and messages. One created later
// by that name shares nothing with it. Until its end is journalled it goes on
// as if nothing had been said.
func (b *Broker) DeleteTopic(name string) error {
	t, ok := b.Existing(name)
	if !ok {
		return ErrNoTopic
	}
	return b.deleting(t, func(s *slot) error {
		var entry journal.Entry // of what is not journalled
		if !t.Ephemeral() {
			entry = journal.Entry{Op: journal.DeleteTopic, Topic: t.Incarnation()}
		}
		return b.common.Change(entry, func() {
			b.takeName(s)
			b.remove(t, s)
		}, func() {})
	})
}

// abandoned deletes an ephemeral topic whose last channel is gone, unless
// another one has come. While it looks, nobody finds the topic by its name.
func (b *Broker) abandoned(t *topic.Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.background.Go(func() {
		_ = b.deleting(t, func(s *slot) error {
			b.takeName(s)
			if !t.CloseIfAbandoned() {
				b.giveName(s)
				return nil
			}
			b.remove(t, s)
			b.snapshot.changed()
			return nil
		}) // nor need it be deleted if it is already, or the broker closes
	})
}

// deleting calls decide, which may end the topic, when nobody else would.
func (b *Broker) deleting(t *topic.Topic, decide func(*slot) error) error {
	b.mu.Lock()
	s := b.topics[t.Name()]
	b.mu.Unlock()
	if s == nil {
		return ErrNoTopic
	}
	s.deleting.Lock()
	defer s.deleting.Unlock()
	b.mu.Lock()
	there, closed := s.topic == t && b.topics[t.Name()] == s, b.closed
	b.mu.Unlock()
	switch {
	case closed:
		return ErrExiting
	case !there:
		return ErrNoTopic
	}
	return decide(s)
}

// takeName takes the topic's name out of use: who asks for it waits.
func (b *Broker) takeName(s *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.gone = make(chan struct{})
}

// giveName undoes takeName.
func (b *Broker) giveName(s *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(s.gone)
	s.gone = nil
}

// remove ends a topic whose name is out of use. Close waits for it. It does not
// wait for a write or a sync of the topic's log, so that the name is soon free.
func (b *Broker) remove(t *topic.Topic, s *slot) {
	t.Drop()
	for _, c := range t.Channels() {
		b.journal.Detach(c)
	}
	b.removeLog(t)
	b.went(t, "")
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, t.Name())
	delete(b.refusing, t)
	delete(b.unlearnt, t)
	close(s.gone)
}

// removeLog renames the topic's directory, so that a restart knows that it may
// go, and removes it in the background, once nobody is at work in it.
func (b *Broker) removeLog(t *topic.Topic) {
	fs, dir := b.disk.FS(), b.logDir(t.Name(), t.Incarnation())
	if t.Ephemeral() {
		fs = b.memory.FS()
	}
	doomed := filepath.Join(b.topicsDir(), deletedPrefix+filepath.Base(dir))
	renamed := fs.Rename(dir, doomed) == nil
	if !renamed {
		doomed = dir // or it never had a record
	}
	b.background.Go(func() {
		t.Discard()
		if err := b.journal.Durable(); err != nil && !t.Ephemeral() {
			b.o.Logger.Error("log of deleted topic is kept for now", "topic", t.Name(), "path", doomed, "error", err)
			return // a topic may not come back without its messages; a restart removes them
		}
		if renamed {
			if err := fs.SyncDir(b.topicsDir()); err != nil {
				b.o.Logger.Error("directory not synced", "path", b.topicsDir(), "error", err)
			}
		}
		if err := fs.RemoveAll(doomed); err != nil {
			b.o.Logger.Error("log of deleted topic not removed", "topic", t.Name(), "path", doomed, "error", err)
		}
	})
}

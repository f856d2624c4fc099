package broker

import (
	"path/filepath"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/internal/vfs"
	"qmq/state"
	"qmq/topic"
)

// DeleteTopic ends a topic with its channels and messages. One created later
// by that name shares nothing with it. Until its end is journalled it goes on
// as if nothing had been said. A topic that cannot be opened can be deleted too.
func (b *Broker) DeleteTopic(name string) error {
	s := b.listingOf(name)
	if s == nil {
		return ErrNoTopic
	}
	return b.deleting(name, s, func() error {
		var entry state.Entry // of what is not journalled
		if s.topic == nil || !s.topic.Ephemeral() {
			entry = state.Entry{Op: state.DeleteTopic, Topic: s.incarnation}
		}
		return b.change(entry, func() {
			b.takeName(s)
			if s.topic == nil {
				b.removeUnopened(s)
			} else {
				b.remove(s)
			}
		}, func() {})
	})
}

// listingOf is that of a topic that is there, nil when there is none.
func (b *Broker) listingOf(name string) *listing {
	b.mu.Lock()
	s, ok := b.topics[name]
	ok = ok && s.gone == nil
	b.mu.Unlock()
	if !ok {
		return nil
	}
	s.made.Wait()
	if s.topic == nil && s.unopened == nil {
		return nil // it could not be made
	}
	return s
}

// abandoned deletes an ephemeral topic whose last channel is gone, unless
// another one has come. While it looks, nobody finds the topic by its name.
func (b *Broker) abandoned(t *topic.Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.topics[t.Name()]
	if b.closed || s == nil || s.topic != t {
		return
	}
	b.background.Go(func() {
		_ = b.deleting(t.Name(), s, func() error {
			b.takeName(s)
			if !t.CloseIfAbandoned() {
				b.giveName(s)
				return nil
			}
			b.remove(s)
			b.metadata.changed()
			return nil
		}) // nor need it be deleted if it is already, or the broker closes
	})
}

// deleting calls decide, which may end the topic or put another listing in its
// place, when nobody else would.
func (b *Broker) deleting(name string, s *listing, decide func() error) error {
	s.deleting.Lock()
	defer s.deleting.Unlock()
	b.mu.Lock()
	there, closed := b.topics[name] == s, b.closed
	b.mu.Unlock()
	switch {
	case closed:
		return channel.ErrExiting
	case !there:
		return ErrNoTopic
	}
	return decide()
}

// takeName takes the topic's name out of use: who asks for it waits.
func (b *Broker) takeName(s *listing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.gone = make(chan struct{})
}

// giveName undoes takeName.
func (b *Broker) giveName(s *listing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(s.gone)
	s.gone = nil
}

// remove ends a topic whose name is out of use. Close waits for it. It does not
// wait for a write or a sync of the topic's log, so that the name is soon free.
func (b *Broker) remove(s *listing) {
	t := s.topic
	t.Drop()
	for _, c := range t.Channels() {
		b.journal.Detach(c)
	}
	fs := b.disk.FS()
	if t.Ephemeral() {
		fs = b.memory.FS()
	}
	b.removeLog(fs, t.Name(), t.Incarnation(), t.Discard)
	b.unregister(t, "")
	b.freeName(t.Name(), s)
}

// freeName lets the name of a topic that is gone be used again.
func (b *Broker) freeName(name string, s *listing) {
	b.damage.forget(s.incarnation)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, name)
	if s.topic != nil {
		delete(b.refusing, s.topic)
		delete(b.unlearnt, s.topic)
	}
	close(s.gone)
}

// removeLog renames a topic's directory, so that a restart knows that it may go,
// and removes it in the background, once rest has returned: then nobody is at
// work in it.
func (b *Broker) removeLog(fs vfs.FS, name string, incarnation uint64, rest func()) {
	dir := b.logDir(name, incarnation)
	doomed := filepath.Join(b.topicsDir(), names.DeletedPrefix+filepath.Base(dir))
	renamed := fs.Rename(dir, doomed) == nil
	if !renamed {
		doomed = dir // or it never had a record
	}
	b.background.Go(func() {
		rest()
		if err := b.journal.Durable(); err != nil && fs == b.disk.FS() {
			b.o.Logger.Error("log of deleted topic is kept for now", "topic", name, "path", doomed, "error", err)
			return // a topic may not come back without its messages; a restart removes them
		}
		if renamed {
			if err := fs.SyncDir(b.topicsDir()); err != nil {
				b.o.Logger.Error("directory not synced", "path", b.topicsDir(), "error", err)
			}
		}
		if err := fs.RemoveAll(doomed); err != nil {
			b.o.Logger.Error("log of deleted topic not removed", "topic", name, "path", doomed, "error", err)
		}
	})
}

package broker

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/state"
	"qmq/topic"
)

var (
	// ErrNoDirectory means that no such directory is kept.
	ErrNoDirectory = errors.New("no such directory is kept")
	// ErrTopicExists means that there is a topic of that name.
	ErrTopicExists = errors.New("there is a topic of that name")
)

// ForeignError means that the segments in a directory are not of the topic that
// its name tells: as that topic none of them would be served.
type ForeignError struct {
	Incarnation uint64 // of the topic whose they are
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("these segments are of the topic with id %016x, and the directory has the name of another", e.Incarnation)
}

// Adopt serves the log in a directory that is kept because the journal does not
// know its topic, as a topic of the name given, which must be valid and not be
// ephemeral, or of its own if that is empty. It never joins an existing topic.
// Which channels it had is asked of the directories, as for a new topic; the
// first one gets every message that is there.
func (b *Broker) Adopt(directory, name string) (*topic.Topic, error) {
	dirs, err := b.dir().topicDirs()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(dirs, func(d topicDir) bool { return d.base == directory })
	if i < 0 || dirs[i].deleted || dirs[i].incarnation == 0 {
		return nil, ErrNoDirectory
	}
	b.adopting.Lock() // a directory is adopted once
	defer b.adopting.Unlock()
	d := dirs[i]
	if b.serves(d.incarnation) {
		return nil, ErrNoDirectory
	}
	if name == "" {
		name = d.name
	}
	s, err := b.claim(name)
	if err != nil {
		return nil, err
	}
	t, err := b.adopt(d, name, s)
	if err != nil {
		b.mu.Lock()
		s.err = err
		delete(b.topics, name)
		b.mu.Unlock()
	}
	s.made.Done()
	return t, err
}

// claim takes a name that is free for a topic that is about to be made.
func (b *Broker) claim(name string) (*listing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, channel.ErrExiting
	}
	if b.topics[name] != nil {
		return nil, ErrTopicExists
	}
	s := &listing{}
	s.made.Add(1)
	b.topics[name] = s
	return s, nil
}

// adopt renames the directory, if the topic gets another name, and makes the
// topic. Should it not come to its being journalled, the directory is kept
// under the new name.
func (b *Broker) adopt(d topicDir, name string, s *listing) (*topic.Topic, error) {
	fs, dir := b.disk.FS(), b.logDir(name, d.incarnation)
	switch owner, err := diskqueue.Owner(fs, filepath.Join(b.topicsDir(), d.base), d.incarnation); {
	case err != nil:
		return nil, err
	case owner != 0 && owner != d.incarnation:
		return nil, &ForeignError{owner}
	}
	if filepath.Base(dir) != d.base {
		if err := fs.Rename(filepath.Join(b.topicsDir(), d.base), dir); err != nil {
			return nil, err
		}
		if err := fs.SyncDir(b.topicsDir()); err != nil {
			return nil, err
		}
	}
	ts := &state.Topic{Incarnation: d.incarnation, Name: name}
	ts.Unlearnt = b.o.Directory != nil && !b.o.Directory.Alone()
	o := b.topicOptions(name, d.incarnation, false)
	var err error
	if o.Log, err = b.openLog(o, known{}); err != nil {
		return nil, err
	}
	ts.FanOut = o.Log.Start()
	t := topic.Restore(o, ts)
	entry := state.Entry{Op: state.CreateTopic, Topic: d.incarnation, Name: name, FanOut: ts.FanOut, Unlearnt: ts.Unlearnt}
	if err := b.change(entry, func() { b.topicReady(t, s, false) }, t.Discard); err != nil {
		return nil, err
	}
	b.learnRestored(t, ts)
	b.damage.resolve(unknownID(d.base))
	b.o.Logger.Info("directory of an unknown topic is adopted", "topic", name, "directory", d.base)
	return t, nil
}

package topic

import (
	"qmq/channel"
	"qmq/settings"
)

// defaultSyncEvery is after how many records a log is synced in the background on a node
// that else syncs each before its OK.
const defaultSyncEvery = 2500

// committerFor is that of a topic whose messages this node alone has.
func (t *Topic) committerFor(sync settings.Sync) Committer {
	o := &t.o
	if o.Ephemeral {
		return newDirect(o.Log, o.Common.FreeSpace, nil)
	}
	if sync == settings.Always {
		t.background.Store(nil)
		return newSynced(o.Log, o.Common.FreeSpace, t.logSync(), t.fanout.refused)
	}
	b := newBackgroundSync(o, t.logSync(), &t.fanout, t.pipeline.fail)
	if b.policy.Every == 1 {
		b.policy.Every = defaultSyncEvery
	}
	t.background.Store(b)
	return newDirect(o.Log, o.Common.FreeSpace, b)
}

// logSync syncs the topic's log.
func (t *Topic) logSync() *logSync {
	o := &t.o
	return &logSync{log: o.Log, journal: o.Sync.Journal, topic: o.Name, incarnation: o.Incarnation, opened: t.opened, logger: o.Common.Logger}
}

// switchTo has publishes be OK'd when they are on the disk, or when they are in the
// kernel, from now on. It waits for those under way, and for a sync of what is written: what
// was OK'd before must not be taken back when a later sync fails. After an error it is as
// it was.
func (t *Topic) switchTo(sync settings.Sync) error {
	if t.o.Replicated || t.o.Ephemeral {
		return nil
	}
	return t.pipeline.replace(func(was Committer) (Committer, error) {
		t.background.Load().close()
		if err := was.Close(); err != nil { // it waits for a sync under way
			return nil, err
		}
		if sync == settings.Always {
			if err := t.logSync().sync(); err != nil {
				c := t.committerFor(settings.Interval)
				t.background.Load().wrote(1)
				return c, err
			}
		}
		return t.committerFor(sync), nil
	})
}

// replace puts another committer in the place of the one that there is, once nobody is at
// the log; publishers wait meanwhile. Where other returns none, it stays.
func (p *pipeline) replace(other func(was Committer) (Committer, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replacing = true
	for (p.writing || p.probing || len(p.inFlight) > 0) && !p.closed {
		p.idle.Wait()
	}
	defer func() {
		p.replacing = false
		p.idle.Broadcast()
	}()
	if p.closed {
		return channel.ErrExiting
	}
	p.probing = true // it is at the log: who ends the topic waits
	p.mu.Unlock()
	c, err := other(p.committer)
	p.mu.Lock()
	p.probing = false
	if c != nil {
		p.committer = c
	}
	return err
}

package topic

import (
	"log/slog"
	"sync"
	"time"

	"qmq/state"
)

// Cleaner gives the files of a node's topics back: those of segments that were
// taken out of the logs are journalled as given up, many with one sync, and then
// removed; and topics that keep much more than they owe are carried forward. It
// has a goroutine only while there is something to do.
type Cleaner struct {
	journal Journal
	logger  *slog.Logger

	// work is held by whoever gives back: the goroutine, or who makes room on a
	// full disk.
	work       sync.Mutex
	journalled remark // that the journal cannot be told; guarded by work

	mu      sync.Mutex // guards what follows; no other lock is taken under it
	queue   []*reclaimer
	running bool
	closed  bool
	ended   sync.WaitGroup // the goroutine
	stop    chan struct{}  // closed by Close
}

// NewCleaner returns a cleaner for topics whose journal is j.
func NewCleaner(j Journal, logger *slog.Logger) *Cleaner {
	return &Cleaner{journal: j, logger: logger, stop: make(chan struct{})}
}

// Close lets the cleaner end what it is at and waits for it; what is left is
// found by the next start.
func (c *Cleaner) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.stop)
	}
	c.mu.Unlock()
	c.ended.Wait()
}

// add has a topic looked after soon. It does not wait.
func (c *Cleaner) add(r *reclaimer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || r.queued {
		return
	}
	r.queued = true
	c.queue = append(c.queue, r)
	if !c.running {
		c.running = true
		c.ended.Go(c.run)
	}
}

func (c *Cleaner) run() {
	for {
		list := c.take()
		if list == nil {
			return
		}
		for _, r := range c.clean(list) {
			c.pause(c.carry(r)) // without the lock: who makes room does not wait
		}
	}
}

// take takes the topics that are to be looked after; nil when there is none, and
// the goroutine has to end.
func (c *Cleaner) take() []*reclaimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.queue
	c.queue = nil
	if len(list) == 0 {
		c.running = false
		return nil
	}
	for _, r := range list {
		r.queued = false
	}
	return list
}

// clean looks after topics, and returns those that were due to be looked at.
func (c *Cleaner) clean(list []*reclaimer) (looked []*reclaimer) {
	c.work.Lock()
	defer c.work.Unlock()
	for _, r := range list {
		if r.look() {
			looked = append(looked, r)
		}
	}
	c.giveBack(list)
	return looked
}

// carry carries forward what a topic keeps beyond what it owes, and returns how
// many bytes it wrote.
func (c *Cleaner) carry(r *reclaimer) (written int64) {
	c.work.Lock()
	defer c.work.Unlock()
	return r.carrySparse(false)
}

// giveBack removes what was taken out of the topics' logs, and says whether that
// was anything. Nothing goes that is not journalled: a later start would miss it.
func (c *Cleaner) giveBack(list []*reclaimer) (any bool) {
	var going []departure
	var entries []state.Entry
	for _, r := range list {
		if d := r.takeDetached(); len(d.list) > 0 {
			if err := r.keepIDs(); err != nil {
				if r.ids.news(err, r.now()) {
					c.logger.Warn("finished segments stay for now: the ids in them cannot be kept", "topic", r.o.Name, "error", err)
				}
				d.later()
				continue
			}
			r.ids = remark{}
			going = append(going, d)
			entries = d.entries(entries)
		}
	}
	if len(entries) > 0 {
		if err := c.journal.CommitDurable(entries...); err != nil {
			if c.journalled.news(err, list[0].now()) {
				c.logger.Warn("finished segments stay for now: the journal cannot be told", "segments", len(entries), "error", err)
			}
			for _, d := range going {
				d.later()
			}
			return false
		}
		c.journalled = remark{}
	}
	for _, d := range going {
		d.r.log.RemoveFiles(d.list)
	}
	return len(going) > 0
}

// carryRate bounds what is carried, bytes a second: the disk is for messages.
const carryRate = 64 << 20

// pause waits as long as that many bytes may take, or until Close.
func (c *Cleaner) pause(written int64) {
	if written == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(written) * time.Second / carryRate)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.stop:
	}
}

// FreeFinished gives back all that the topics have finished, at any size, because
// the disk is full, and says whether there was anything.
func (c *Cleaner) FreeFinished(topics []*Topic) bool {
	c.work.Lock()
	defer c.work.Unlock()
	var list []*reclaimer
	for _, t := range topics {
		if t.o.Ephemeral {
			continue
		}
		list = append(list, &t.reclaimer)
		t.reclaimer.endFinished()
		t.reclaimer.detachFinished(true)
	}
	return c.giveBack(list)
}

// CarryNow carries forward whatever frees room, because the disk is full and
// nothing that is finished is left on it, and says whether there was anything.
func (c *Cleaner) CarryNow(topics []*Topic) (any bool) {
	c.work.Lock()
	defer c.work.Unlock()
	for _, t := range topics {
		if !t.o.Ephemeral && t.reclaimer.carrySparse(true) > 0 {
			any = true
		}
	}
	return any
}

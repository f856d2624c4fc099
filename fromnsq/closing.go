package fromnsq

import (
	"errors"
	"sync"

	"qmq/diskqueue"
)

// closing syncs and closes logs, several at a time, as each waits for the disk. The
// zero value is ready for use.
type closing struct {
	all sync.WaitGroup // a goroutine for each log

	mu    sync.Mutex // guards what follows, and is not held during a sync
	err   error
	count int
	room  sync.Cond
}

// closedAtATime is how many logs are synced at a time.
const closedAtATime = 32

// add has a log closed, whose caller goes on; it waits where many are under way.
func (c *closing) add(log *diskqueue.Log) {
	c.mu.Lock()
	c.room.L = &c.mu
	for c.count == closedAtATime {
		c.room.Wait()
	}
	c.count++
	c.mu.Unlock()
	c.all.Go(func() {
		err := log.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.err = errors.Join(c.err, err)
		c.count--
		c.room.Signal()
	})
}

// wait returns when all logs are closed.
func (c *closing) wait() error {
	c.all.Wait()
	return c.err
}

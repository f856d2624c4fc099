package diskqueue

import (
	"sync"

	"qmq/internal/seqset"
)

// chunkCache holds the stretches that were last read back from disk, so that
// channels that read the same place share one read. Two readers that miss at
// the same time read once: the second waits for the first.
type chunkCache struct {
	budget int64

	mu      sync.Mutex // guards what follows and every log's cached list
	entries []*cached  // all of the node, for eviction
	bytes   int64
	tick    uint64
}

type cached struct {
	log  *Log
	c    *chunk
	used uint64 // tick of the last use
}

// get returns a view of a cached chunk of l that holds seq.
func (cc *chunkCache) get(l *Log, seq uint64) (chunkView, bool) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	for _, e := range l.cached {
		if seq-e.c.first < uint64(len(e.c.offs)) {
			cc.tick++
			e.used = cc.tick
			return e.c.view(), true
		}
	}
	return chunkView{}, false
}

// put adds a chunk, whose reference it takes over, and returns a view of it.
// rewinds is what l.rewinds was when reading it began.
func (cc *chunkCache) put(l *Log, c *chunk, rewinds uint64) chunkView {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	v := c.view()
	if l.closedCache || rewinds != l.rewinds.Load() || int64(cap(c.buf)) > cc.budget {
		c.release()
		return v
	}
	// A stretch at the log's end that has grown since replaces the shorter one.
	for _, e := range l.cached {
		if e.c.first == c.first {
			cc.remove(e)
			break
		}
	}
	cc.tick++
	e := &cached{log: l, c: c, used: cc.tick}
	cc.entries = append(cc.entries, e)
	l.cached = append(l.cached, e)
	cc.bytes += int64(cap(c.buf))
	for cc.bytes > cc.budget && len(cc.entries) > 1 {
		oldest := cc.entries[0]
		for _, e := range cc.entries[1:] {
			if e.used < oldest.used {
				oldest = e
			}
		}
		cc.remove(oldest)
	}
	return v
}

// forget drops the chunks of l that lie within numbers.
func (cc *chunkCache) forget(l *Log, numbers seqset.Range) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	for i := len(l.cached) - 1; i >= 0; i-- {
		if e := l.cached[i]; e.c.first >= numbers.From && e.c.end() <= numbers.To {
			cc.remove(e)
		}
	}
}

// rewind drops the chunks of l that hold anything from seq on, and keeps those
// that are being read now from getting in.
func (cc *chunkCache) rewind(l *Log, seq uint64) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	l.rewinds.Add(1)
	for i := len(l.cached) - 1; i >= 0; i-- {
		if e := l.cached[i]; e.c.end() > seq {
			cc.remove(e)
		}
	}
}

// drop drops all of l's chunks and takes no more.
func (cc *chunkCache) drop(l *Log) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	l.closedCache = true
	for len(l.cached) > 0 {
		cc.remove(l.cached[0])
	}
}

func (cc *chunkCache) remove(e *cached) {
	cc.entries = without(cc.entries, e)
	e.log.cached = without(e.log.cached, e)
	cc.bytes -= int64(cap(e.c.buf))
	e.c.release()
}

// without removes e from an unordered list.
func without(list []*cached, e *cached) []*cached {
	for i, x := range list {
		if x == e {
			last := len(list) - 1
			list[i] = list[last]
			list[last] = nil
			return list[:last]
		}
	}
	return list
}

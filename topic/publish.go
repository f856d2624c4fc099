package topic

import (
	"errors"
	"math"
	"runtime"
	"syscall"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
)

const (
	// maxPending is how many bytes may wait to be written before publishers
	// are held back.
	maxPending = 8 << 20
	// maxWrite is about how many bytes are written at a time.
	maxWrite = 1 << 20
	// smallWrite is how many bytes are worth waiting for company.
	smallWrite = 16 << 10
	// company is how many publishers must write together for that to have been
	// worth it, and lonely how many writes are not tried after it was not.
	company = 4
	lonely  = 127
)

// request is a batch on its way and how its publisher is woken.
type request struct {
	batch  *diskqueue.Batch
	err    error
	signal chan signal // of capacity 1
}

type signal int

const (
	settled signal = iota // request.err says how
	lead                  // this publisher writes next
)

// request takes a request that no publisher uses now, or makes one.
func (c *Common) request() *request {
	if r, ok := c.requests.Get().(*request); ok {
		return r
	}
	return &request{signal: make(chan signal, 1)}
}

// groupBuffers belong to the publisher that is writing.
type groupBuffers struct {
	requests []*request
	batches  []*diskqueue.Batch
}

// written is what one write added and who waits for it to be synced.
type written struct {
	added    diskqueue.Appended
	bytes    uint64
	requests []*request
}

// Publish stores a batch: it returns nil when the batch may be OK'd, which is
// when it is in the kernel, or on the platter with SyncEvery 1. On an error
// nothing of it will be delivered, unless the daemon is killed before it can
// cut it off. The batch may be used again when Publish returns.
//
// The publisher that finds no write under way writes everything that is
// pending, others' batches included.
func (t *Topic) Publish(b *diskqueue.Batch) error {
	t.mu.Lock()
	for t.pendingBytes > maxPending && t.refusal() == nil {
		t.idle.Wait()
	}
	if err := t.refusal(); err != nil {
		t.mu.Unlock()
		return err
	}
	if room := t.room(); b.Len() > room {
		t.dropNewest(b, room)
	}
	if t.o.Ephemeral && !t.o.Log.Hold(int64(b.Bytes())) {
		t.dropNewest(b, 0)
	}
	if b.Len() == 0 {
		t.mu.Unlock()
		return nil
	}
	r := t.o.request()
	r.batch, r.err = b, nil
	t.pending = append(t.pending, r)
	t.pendingBytes += b.Bytes()
	if t.writing {
		t.mu.Unlock()
		if <-r.signal == settled {
			return t.result(r)
		}
		t.mu.Lock()
	}
	t.writing = true
	if wait := t.write(r); wait {
		<-r.signal
	}
	return t.result(r)
}

// result takes a settled request back.
func (t *Topic) result(r *request) error {
	err := r.err
	r.batch = nil
	t.o.requests.Put(r)
	return err
}

// room is how many more messages the topic takes: an ephemeral one has a limit
// while nobody takes its messages. The caller holds t.mu.
func (t *Topic) room() int {
	if !t.o.Ephemeral || !t.untaken() {
		return math.MaxInt
	}
	room := max(1, t.o.MemQueueSize) - int(t.end-t.fanOut)
	for _, r := range t.pending {
		room -= r.batch.Len()
	}
	return max(0, room)
}

// dropNewest drops what the topic has no room for; it counts as published, and
// as dropped. The caller holds t.mu.
func (t *Topic) dropNewest(b *diskqueue.Batch, room int) {
	messages, bytes := b.Len(), b.BodyBytes()
	b.Truncate(room)
	t.count(messages-b.Len(), uint64(bytes-b.BodyBytes()))
	t.lost += uint64(messages - b.Len())
}

// write writes what is pending, own first. It is called with t.mu held and
// returns without. wait says that own is not settled yet: it waits for a sync.
func (t *Topic) write(own *request) (wait bool) {
	group, bytes := t.gatherGroup(own)
	t.mu.Unlock()
	added, err := t.append(t.groupBufs.batches)
	t.mu.Lock()
	if t.dropped {
		err = channel.ErrExiting
	}
	switch {
	case err != nil:
		t.failedBytes = batchBytes(t.groupBufs.batches)
		t.release(int64(t.pendingBytes))
		t.fail(err)
		t.reclaim.lookForWake() // the segment may have ended
		settle(group, own, err)
		settle(t.pending, nil, err)
		clear(t.pending)
		t.pending, t.pendingBytes = t.pending[:0], 0
	case t.strict():
		// Should a sync have failed meanwhile, it waits for this write to end
		// and takes it back with the others.
		t.unsynced = append(t.unsynced, written{added: added, bytes: bytes, requests: append([]*request(nil), group...)})
		t.startSync()
		wait = true
	default:
		t.commit(added, bytes)
		settle(group, own, nil)
		t.noteUnsynced(int64(added.End - added.First))
	}
	t.endWrite()
	return wait
}

// append appends to the log. Before a full disk refuses, what is finished is
// given back, and it is tried once more.
func (t *Topic) append(batches []*diskqueue.Batch) (diskqueue.Appended, error) {
	added, err := t.o.Log.Append(batches)
	if diskFull(err) && t.o.MakeRoom() {
		added, err = t.o.Log.Append(batches)
	}
	if err != nil {
		t.release(int64(batchBytes(batches)))
	}
	return added, err
}

// release gives back room in memory that was held for what is not appended.
func (t *Topic) release(size int64) {
	if t.o.Ephemeral {
		t.o.Log.Release(size)
	}
}

func batchBytes(batches []*diskqueue.Batch) (n int) {
	for _, b := range batches {
		n += b.Bytes()
	}
	return n
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// gatherGroup takes the requests that are written together from pending. Where
// many publish a little each, it first lets those that are about to come: a
// write costs as much as all else that is done for a small message. It is
// called with t.mu held and may give it up for a while.
func (t *Topic) gatherGroup(own *request) (group []*request, bodyBytes uint64) {
	if own.batch.Bytes() >= smallWrite || len(t.pending) >= company {
		return t.takeGroup()
	}
	if t.lonely > 0 {
		t.lonely--
		return t.takeGroup()
	}
	t.mu.Unlock()
	runtime.Gosched()
	t.mu.Lock()
	if group, bodyBytes = t.takeGroup(); len(group) < company {
		t.lonely = lonely
	}
	return group, bodyBytes
}

// takeGroup takes the requests that are written together from pending.
func (t *Topic) takeGroup() (group []*request, bodyBytes uint64) {
	if t.groupBufs == nil {
		t.groupBufs = new(groupBuffers)
	}
	g := t.groupBufs
	g.requests, g.batches = g.requests[:0], g.batches[:0]
	size := 0
	for _, r := range t.pending {
		if size > 0 && size+r.batch.Bytes() > maxWrite {
			break
		}
		size += r.batch.Bytes()
		bodyBytes += uint64(r.batch.BodyBytes())
		g.requests = append(g.requests, r)
		g.batches = append(g.batches, r.batch)
	}
	rest := copy(t.pending, t.pending[len(g.requests):])
	clear(t.pending[rest:])
	t.pending = t.pending[:rest]
	t.pendingBytes -= size
	return g.requests, bodyBytes
}

// endWrite hands the writing over to the next publisher, if one waits, and
// unlocks t.mu.
func (t *Topic) endWrite() {
	clear(t.groupBufs.batches) // they belong to sessions that may end
	t.idle.Broadcast()
	if len(t.pending) > 0 {
		t.pending[0].signal <- lead
	} else {
		t.writing = false
	}
	t.mu.Unlock()
}

// settle tells the publishers of a group how it ended; own is told by return.
func settle(group []*request, own *request, err error) {
	for _, r := range group {
		r.err = err
		if r != own {
			r.signal <- settled
		}
	}
}

// strict says that nothing is OK'd before it is synced.
func (t *Topic) strict() bool { return t.o.SyncEvery == 1 && !t.o.Ephemeral }

// commit makes what was written visible. The caller holds t.mu.
func (t *Topic) commit(added diskqueue.Appended, bytes uint64) {
	t.end = added.End
	t.count(int(added.End-added.First), bytes)
	t.reclaim.lookForWake() // first: a channel that gets through at once must find it
	switch {
	case t.catching:
		t.meanwhile = append(t.meanwhile, added.Marks...)
	case !t.standing():
		t.advance(added.End, added.Marks)
	}
}

func (t *Topic) count(messages int, bytes uint64) {
	t.messages += uint64(messages)
	t.bytes += bytes
}

// standing says that the fan-out position does not follow the end. The caller
// holds t.mu.
func (t *Topic) standing() bool { return t.held || t.catching || t.asking || t.untaken() }

// untaken says that nobody takes the topic's messages, for as long as it may
// be. The caller holds t.mu.
func (t *Topic) untaken() bool { return t.paused || t.ready == 0 }

// advance moves the fan-out position. The caller holds t.mu.
func (t *Topic) advance(to uint64, delayed []message.Mark) {
	t.fanOut = to
	for _, s := range t.channels {
		s.channel.Advance(to, delayed)
	}
}

// catchUp moves the fan-out position to the end after it stood still. It is
// called with t.changing and t.mu held and gives t.mu up for a while.
func (t *Topic) catchUp() {
	if t.standing() || t.fanOut == t.end {
		return
	}
	delayed := t.gather(t.fanOut)
	t.advance(t.end, delayed)
}

// gather lists the deferred messages from a number on up to the end. It is
// called with t.changing and t.mu held and gives t.mu up for a while, in which
// the fan-out position stands.
func (t *Topic) gather(from uint64) []message.Mark {
	to := t.end
	t.catching = true
	t.mu.Unlock()
	delayed := t.delayed(from, to)
	t.mu.Lock()
	t.catching = false
	delayed = append(delayed, t.meanwhile...)
	t.meanwhile = nil
	return delayed
}

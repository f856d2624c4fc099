package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"qmq/test/wire"
)

// answerLimit is how long a publisher waits for an answer before it takes the
// daemon for stuck.
const answerLimit = time.Minute

// Sizes of what a publisher sends in one go.
const (
	pubWindow   = 256 // pipelined PUBs
	deferWindow = 32  // pipelined DPUBs
	multiBatch  = 200 // messages of an MPUB
	pipeline    = 3   // windows not yet answered
)

// maxDelay bounds the delay of a deferred publish.
const maxDelay = 1500 * time.Millisecond

// publisher sends the messages of one stream, each once: what is not answered
// is never sent again, so that every number appears at most once.
type publisher struct {
	l    *ledger
	d    *daemon
	s    *stream
	kind kind
	goal *goal
	rng  *rand.Rand
	load *payloads
}

func newPublisher(l *ledger, d *daemon, s *stream, k kind, g *goal, seed uint64) *publisher {
	rng := rand.New(rand.NewPCG(seed, uint64(s.id)))
	return &publisher{l: l, d: d, s: s, kind: k, goal: g, rng: rng, load: newPayloads(rng)}
}

// publish sends until the whole quota is used or ctx ends.
func (p *publisher) publish(ctx context.Context) {
	for p.s.next.Load() < uint32(len(p.s.status)) {
		if err := p.goal.await(ctx, p.s); err != nil {
			return
		}
		r, err := p.d.awaitUp(ctx)
		if err != nil {
			return
		}
		if p.kind == kindHTTP {
			err = p.overHTTP(ctx, r)
		} else {
			err = p.overTCP(ctx, r)
		}
		// Without a connection no answer can come any more.
		p.s.setAnswered(p.s.next.Load())
		if err != nil {
			p.disconnected(ctx, r, err)
			wait(ctx, 5*time.Millisecond)
		}
	}
}

// room is how many messages may be sent now.
func (p *publisher) room() int {
	return int(p.goal.of(p.s)) - int(p.s.next.Load())
}

// overTCP sends windows over one connection, a few ahead of their answers,
// until the goal is reached.
func (p *publisher) overTCP(ctx context.Context, r *run) error {
	w, err := wire.Dial(ctx, r.tcp)
	if err != nil {
		return err
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	var open []int // windows without all answers, by index
	for {
		if room := p.room(); room > 0 && len(open) < pipeline {
			open = append(open, p.send(w, min(room, p.windowSize()), r.number))
			if err := w.Flush(time.Now().Add(answerLimit)); err != nil {
				return err
			}
			continue
		}
		if len(open) == 0 {
			return nil
		}
		if err := p.collect(w, open[0]); err != nil {
			return err
		}
		open = open[1:]
		if p.kind == kindDeferred {
			wait(ctx, time.Duration(p.rng.IntN(3))*time.Millisecond)
		}
	}
}

func (p *publisher) windowSize() int {
	switch p.kind {
	case kindMulti:
		return multiBatch
	case kindDeferred:
		return deferWindow
	}
	return 1 + p.rng.IntN(pubWindow)
}

// send encodes a window of n messages and returns its index.
func (p *publisher) send(w *wire.Client, n, run int) int {
	first := p.s.take(n, p.l.now(), run)
	switch p.kind {
	case kindMulti:
		w.Out = fmt.Appendf(w.Out, "MPUB %s\n", p.s.topic.name)
		at := len(w.Out)
		w.Sized(0)
		w.Out = p.appendBatch(w.Out, kindMulti, first, n)
		binary.BigEndian.PutUint32(w.Out[at:], uint32(len(w.Out)-at-4))
	case kindDeferred:
		for i := range n {
			delay := p.delay()
			due := time.Now().Add(delay).UnixNano()
			w.Out = fmt.Appendf(w.Out, "DPUB %s %d\n", p.s.topic.name, delay.Milliseconds())
			p.appendSized(w, content{p.s.id, first + uint32(i), kindDeferred, due})
		}
	default:
		for i := range n {
			w.Out = append(w.Out, "PUB "...)
			w.Out = append(w.Out, p.s.topic.name...)
			w.Out = append(w.Out, '\n')
			p.appendSized(w, content{p.s.id, first + uint32(i), kindPub, 0})
		}
	}
	return len(p.s.windows) - 1
}

// delay is mostly short, so that many messages become due while others come.
func (p *publisher) delay() time.Duration {
	return time.Duration(1+p.rng.Int64N(maxDelay.Milliseconds())) * time.Millisecond
}

func (p *publisher) appendSized(w *wire.Client, c content) {
	payload := p.load.next(c.kind)
	w.Sized(bodySize(c.kind, len(payload)))
	w.Out = appendBody(w.Out, c, payload)
}

// appendBatch appends count and messages as MPUB and binary /mpub want them,
// and marks the numbers as one batch.
func (p *publisher) appendBatch(dst []byte, k kind, first uint32, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	for i := range n {
		payload := p.load.next(k)
		dst = binary.BigEndian.AppendUint32(dst, uint32(bodySize(k, len(payload))))
		dst = appendBody(dst, content{p.s.id, first + uint32(i), k, 0}, payload)
	}
	p.markBatch(first, n)
	return dst
}

func (p *publisher) markBatch(first uint32, n int) {
	for i := range n {
		p.s.status[int(first)+i] |= statusBatch
	}
	p.s.status[first] |= statusBatchFirst
}

// collect reads the answers of a window.
func (p *publisher) collect(w *wire.Client, index int) error {
	win := &p.s.windows[index]
	deadline := time.Now().Add(answerLimit)
	answers, each := win.count, uint32(1)
	if p.kind == kindMulti {
		answers, each = 1, win.count
	}
	for i := range answers {
		frame, data, err := w.Next(deadline)
		if err != nil {
			return err
		}
		status := byte(statusOK)
		if frame != wire.Response || string(data) != "OK" {
			status = statusRefused
			p.l.refused("publish", string(data))
		}
		p.s.mark(win.first+i*each, each, status)
	}
	win.answered = p.l.now()
	return nil
}

// mark notes the answer to n messages.
func (s *stream) mark(first, n uint32, status byte) {
	for i := first; i < first+n; i++ {
		s.status[i] |= status
	}
	s.setAnswered(first + n)
}

// disconnected judges the end of a connection that the publisher did not want.
// Kills explain it; nothing else does, not even the deletion of the topic.
func (p *publisher) disconnected(ctx context.Context, r *run, err error) {
	switch {
	case ctx.Err() != nil || !p.d.serving(r):
	case timedOut(err):
		p.l.report(faultStuck, "publisher in run %d: %v", r.number, err)
	default:
		p.l.report(faultAnswer, "publisher in run %d: connection closed: %v", r.number, err)
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// serving reports whether r is the run that clients are to use.
func (d *daemon) serving(r *run) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last == r && r.up && !r.leaving
}

// goal says how far the streams may go. A run with kills lets them go on in
// equal steps, so that every life of the daemon has something to lose, and a
// step in slices, so that it can be stretched over a life.
type goal struct {
	slices  int64 // in all
	allowed atomic.Int64
	changes *notifier
}

// slicesPerStep is into how many slices a step can be cut.
const slicesPerStep = 20

func newGoal(steps int) *goal {
	return &goal{slices: int64(steps * slicesPerStep), changes: newNotifier()}
}

// slice allows one more slice.
func (g *goal) slice() {
	if g.allowed.Add(1) > g.slices {
		panic("more slices than there are")
	}
	g.changes.notify()
}

// step allows what is missing to a number of whole steps.
func (g *goal) step(steps int) {
	g.allowed.Store(int64(steps * slicesPerStep))
	g.changes.notify()
}

// of is the bound of the numbers that a stream may send now.
func (g *goal) of(s *stream) uint32 {
	return uint32(int64(len(s.status)) * g.allowed.Load() / g.slices)
}

// await returns when the stream may send.
func (g *goal) await(ctx context.Context, s *stream) error {
	for {
		changed := g.changes.wait()
		if s.next.Load() < g.of(s) {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

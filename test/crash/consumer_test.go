package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"qmq/test/wire"
)

// probeID is an id that no message has: FIN of it is refused, which tells that
// the daemon has obeyed everything sent before.
const probeID = "ffffffffffffffff"

const (
	probeEvery  = 100 * time.Millisecond
	consumeTick = 50 * time.Millisecond
	// staleAfter without reading, what is read may be overtaken by its own
	// redelivery. It is half the messages' timeout.
	staleAfter = msgTimeout / 2
	// heldLimit bounds how many messages a connection sits on: it would run
	// out of credit.
	heldLimit = 40
)

// mood is how consumers behave; it changes for all of them at once.
type mood struct {
	orderly atomic.Bool // finish everything and stay connected
	waiting atomic.Bool // do not connect
}

// identity is what consumers say of themselves.
const identity = `{"client_id":"crash","hostname":"crash","user_agent":"crash/1","feature_negotiation":true,` +
	`"heartbeat_interval":5000,"output_buffer_timeout":25}`

// consumer is one connection after the other on one channel.
type consumer struct {
	l    *ledger
	d    *daemon
	c    *channelLedger
	mood *mood
	rng  *rand.Rand

	w       *wire.Client
	sight   sighting
	quit    time.Duration // when this connection is to end
	leave   leaving       // and how
	closing bool          // CLS was sent
	closed  bool          // CLOSE_WAIT has come

	answers []sentAnswer // FINs and REQs not known to have been obeyed
	failed  int          // answers before this one cannot be refused any more
	probe   int          // how many answers the probe under way covers, 0 = none
	probed  time.Duration
	held    []heldMessage
}

// leaving is how a connection ends.
type leaving int

const (
	leaveAbort leaving = iota // reset, unread commands are lost
	leaveClose                // close without a word
	leaveCLS                  // CLS, then answers, then close
)

// sentAnswer is a FIN, or a REQ with a delay.
type sentAnswer struct {
	id   wire.ID
	key  messageKey
	void bool  // it was refused
	req  bool  // it is a REQ
	due  int64 // of a REQ with delay, wall clock
}

// heldMessage is touched now and finished later, or ignored until it times out.
type heldMessage struct {
	id     wire.ID
	key    messageKey
	until  time.Duration
	finish bool
}

func newConsumer(l *ledger, d *daemon, c *channelLedger, m *mood, seed, n uint64) *consumer {
	return &consumer{l: l, d: d, c: c, mood: m, rng: rand.New(rand.NewPCG(seed, n))}
}

// consume keeps a connection to the channel until ctx ends.
func (k *consumer) consume(ctx context.Context) {
	for ctx.Err() == nil {
		if k.mood.waiting.Load() {
			wait(ctx, consumeTick)
			continue
		}
		r, err := k.d.awaitUp(ctx)
		if err != nil {
			return
		}
		if err := k.connect(ctx, r); err != nil {
			if ctx.Err() == nil && timedOut(err) && k.d.serving(r) {
				k.l.report(faultStuck, "consumer of %s/%s in run %d: %v", k.c.topic.name, k.c.name, r.number, err)
			}
			wait(ctx, 5*time.Millisecond)
		}
	}
}

// connect is one connection from SUB to its end.
func (k *consumer) connect(ctx context.Context, r *run) error {
	w, err := wire.Dial(ctx, r.tcp)
	if err != nil {
		return err
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	k.begin(w, r)
	if err := w.Subscribe(identity, k.c.topic.name, k.c.name, time.Now().Add(answerLimit)); err != nil {
		var refused wire.Refusal
		if errors.As(err, &refused) {
			k.l.refused("SUB", string(refused))
		}
		return err
	}
	w.Ready(50 + k.rng.IntN(1000))
	for {
		done, err := k.turn()
		if err != nil || done {
			return err
		}
	}
}

// begin resets what belongs to one connection and rolls how it will end.
func (k *consumer) begin(w *wire.Client, r *run) {
	k.w, k.answers, k.failed, k.probe, k.held = w, k.answers[:0], 0, 0, k.held[:0]
	k.closing, k.closed = false, false
	now := k.l.now()
	k.probed = now
	k.quit = now + 200*time.Millisecond + time.Duration(k.rng.Int64N(int64(4*time.Second)))
	k.leave = leaving(k.rng.IntN(3))
	k.c.mu.Lock()
	k.c.counts.connections++
	k.sight = sighting{run: r.number, epoch: k.c.epoch, at: now}
	k.c.mu.Unlock()
}

// turn reads once, answers all that was read, and writes once. done means that
// the connection has ended as it was meant to.
func (k *consumer) turn() (done bool, err error) {
	err = k.w.Fill(time.Now().Add(consumeTick))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, err
	}
	now := time.Now()
	at := now.Sub(k.l.began)
	k.sight.stale = at-k.sight.at > staleAfter
	k.sight.at, k.sight.wall = at, now.UnixNano()
	if err := k.take(); err != nil {
		return false, err
	}
	k.release()
	if len(k.answers) > 0 && k.probe == 0 && at-k.probed > probeEvery {
		k.w.Answer("FIN", (*wire.ID)([]byte(probeID)))
		k.probe, k.probed = len(k.answers), at
	}
	if k.probe > 0 && at-k.probed > answerLimit {
		return false, os.ErrDeadlineExceeded
	}
	if k.closing || at > k.quit && !k.mood.orderly.Load() {
		if done := k.depart(); done {
			return true, nil
		}
	}
	return false, k.w.Flush(now.Add(answerLimit))
}

// depart ends the connection, by CLS only when everything held is answered.
func (k *consumer) depart() (done bool) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	switch {
	case k.leave == leaveAbort:
		k.c.counts.aborts++
		k.w.Abort()
		return true
	case k.leave == leaveClose:
		k.c.counts.aborts++
		return true
	case !k.closing:
		k.closing = true
		k.c.counts.closes++
		k.w.Out = append(k.w.Out, "CLS\n"...)
	}
	return k.closed && len(k.held) == 0 && len(k.answers) == 0
}

// take handles every frame in the buffer under one lock of the channel.
func (k *consumer) take() error {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	for {
		frame, data, ok, err := k.w.Buffered()
		if err != nil {
			k.l.report(faultAnswer, "consumer of %s/%s: %v", k.c.topic.name, k.c.name, err)
			return err
		}
		if !ok {
			return nil
		}
		switch {
		case frame == wire.Delivery:
			head, body, err := wire.ParseHead(data)
			if err != nil || len(body) == 0 {
				k.l.report(faultAnswer, "consumer of %s/%s: message %q, %v", k.c.topic.name, k.c.name, data, err)
				return fmt.Errorf("message %q", data)
			}
			k.message(head, body)
		case frame == wire.Error:
			k.refusal(string(data))
		case frame == wire.Response && string(data) == "_heartbeat_":
			k.w.Out = append(k.w.Out, "NOP\n"...)
		case frame == wire.Response && string(data) == "CLOSE_WAIT":
			k.closed = true
		default:
			k.l.report(faultAnswer, "consumer of %s/%s: frame type %d %q", k.c.topic.name, k.c.name, frame, data)
		}
	}
}

// message answers a delivery: mostly with FIN.
func (k *consumer) message(head wire.Head, body []byte) {
	id := head.ID
	key, ok := k.c.received(&k.sight, head, body)
	if !ok {
		k.w.Answer("FIN", &id)
		return
	}
	dice := k.rng.IntN(1000)
	if k.mood.orderly.Load() || k.closing {
		dice = 1000
	}
	switch {
	case dice < 3:
		k.c.counts.requeued++
		k.w.Requeue(&id, 0)
	case dice < 5:
		delay := time.Duration(20+k.rng.IntN(800)) * time.Millisecond
		k.c.counts.requeued++
		k.w.Requeue(&id, delay)
		k.answers = append(k.answers, sentAnswer{id: id, key: key, req: true, due: time.Now().Add(delay).UnixNano()})
	case dice < 7 && len(k.held) < heldLimit:
		k.c.counts.touched++
		k.w.Answer("TOUCH", &id)
		until := k.sight.at + time.Duration(k.rng.Int64N(int64(msgTimeout)))
		k.held = append(k.held, heldMessage{id, key, until, true})
	case dice < 9 && len(k.held) < heldLimit:
		k.c.counts.ignored++
		k.held = append(k.held, heldMessage{id, key, k.sight.at + msgTimeout, false})
	default:
		k.finish(&id, key)
	}
}

func (k *consumer) finish(id *wire.ID, key messageKey) {
	k.w.Answer("FIN", id)
	k.answers = append(k.answers, sentAnswer{id: *id, key: key})
	k.c.counts.fins++
	if e := k.c.entryOf(key); e.fins < 255 {
		e.fins++
	}
}

// release finishes what was held long enough, and all of it when the time has
// come to be orderly.
func (k *consumer) release() {
	if len(k.held) == 0 {
		return
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	hurry := k.closing || k.mood.orderly.Load()
	kept := k.held[:0]
	for _, h := range k.held {
		switch {
		case h.until > k.sight.at && !(hurry && h.finish):
			kept = append(kept, h)
		case h.finish:
			k.finish(&h.id, h.key)
		}
	}
	k.held = kept
}

// refusal takes an error frame. Refusals come in the order of the commands.
func (k *consumer) refusal(text string) {
	words := strings.SplitN(text, " ", 4)
	if len(words) < 3 || len(words[2]) != len(wire.ID{}) {
		k.l.refused("consumer", text)
		return
	}
	if words[2] == probeID {
		k.confirm()
		return
	}
	k.l.refused("consumer", text)
	k.c.counts.failed++
	if words[1] == "TOUCH" {
		return
	}
	for i := k.failed; i < len(k.answers); i++ {
		a := &k.answers[i]
		if string(a.id[:]) == words[2] && a.req == (words[1] == "REQ") {
			a.void = true
			k.failed = i + 1
			if e := k.c.entryOf(a.key); !a.req && e.fins > 0 {
				e.fins--
			}
			return
		}
	}
}

// confirm notes that everything sent before the probe was obeyed.
func (k *consumer) confirm() {
	at := tickAt(k.sight.at)
	for i := range k.answers[:k.probe] {
		a := &k.answers[i]
		switch {
		case a.void:
		case a.req:
			k.c.requeues[a.key] = requeueMark{due: a.due, at: at}
		default:
			k.c.entryOf(a.key).fin = at
		}
	}
	k.answers = k.answers[:copy(k.answers, k.answers[k.probe:])]
	k.failed, k.probe = max(0, k.failed-k.probe), 0
}

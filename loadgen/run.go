package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Target is the daemon that gets the load.
type Target struct {
	TCP  string // address of the V2 protocol
	HTTP string // address of the HTTP API; may be empty unless the load is over HTTP
	PID  int    // of the daemon; 0: whoever listens on the TCP address here
	With []int  // processes that work for it, such as the other members of its set
}

// Progress is told about twice a second how far a run is.
type Progress func(Snapshot)

// Snapshot is how far a run is.
type Snapshot struct {
	Phase     string // warm-up, backlog, measuring, checking
	Elapsed   time.Duration
	Published int64 // messages that were OK'd in this phase
	Delivered int64 // in this phase, of all channels
}

// Run does one load. When ctx is done it stops publishing and returns what was
// measured. The result is not nil when the measurement had begun, even with an
// error. A run that lost or altered messages is no error: see Result.Sound.
//
// A guest leaves nothing behind: at the end, also when ctx is done, it removes
// the topics and channels that it made. A topic that exists is refused with
// [ErrTopicExists] unless the load says Force; then messages of others are
// counted as foreign, and nothing is verified that the load has no channels for.
func Run(ctx context.Context, t Target, l Load, progress Progress) (*Result, error) {
	r, err := newRun(t, l, progress)
	if err != nil {
		return nil, err
	}
	if l.Guest {
		if err := r.visit(ctx); err != nil {
			return nil, err
		}
	}
	ctx, r.fail = context.WithCancelCause(ctx)
	defer r.fail(nil)
	result, err := r.do(ctx)
	r.close()
	if result != nil {
		r.count(result)
	}
	if l.Topic == "" || l.Guest {
		err = errors.Join(err, r.leave())
	}
	return result, err
}

// newRun is one that has no connections yet.
func newRun(t Target, l Load, progress Progress) (*run, error) {
	l = l.withDefaults()
	if err := l.check(); err != nil {
		return nil, err
	}
	if t.PID == 0 {
		t.PID, _ = PIDOf(t.TCP) // unknown: the server's usage is not told
	}
	r := &run{target: t, load: l, topic: l.Topic, progress: progress, start: time.Now(), more: make(chan struct{}, 1)}
	if r.topic == "" {
		r.topic = fmt.Sprintf("bench-%016x", rand.Uint64())
	}
	return r, nil
}

// run is a load under way.
type run struct {
	target   Target
	load     Load
	topic    string
	here     map[string]hosts // topics that were there before a guest came, with their channels
	progress Progress
	start    time.Time

	version    string // of the server
	publishers []*publisher
	ledgers    []*ledger // by channel
	consumers  []*consumer
	schedule   atomic.Pointer[schedule] // of the measured phase, when there is a rate
	more       chan struct{}            // holds a value after a delivery

	answered time.Time // when the last phase had its last OK

	wg   sync.WaitGroup // consumers
	fail context.CancelCauseFunc
}

// errEnded is why a phase ended that had not done all; it is no failure.
var errEnded = errors.New("loadgen: interrupted")

func (r *run) do(ctx context.Context) (*Result, error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	measure := r.publishAndConsume
	if r.load.Backlog {
		measure = r.drainBacklog
	}
	result, err := measure(ctx)
	if err == nil && r.load.Verify && r.load.Channels == 0 && r.load.Defer == 0 {
		err = r.verify(ctx)
	}
	if errors.Is(err, errEnded) && result != nil {
		result.Interrupted = true
		err = nil
	}
	return result, err
}

// connect opens all connections; the consumers are subscribed first, so that
// every channel gets every message.
func (r *run) connect(ctx context.Context) error {
	c, version, err := dial(ctx, r.target.TCP, -1, r.load.Encoding)
	if err != nil {
		return err
	}
	c.Close()
	r.version = version
	bodies := newBodies(rand.Uint64(), r.load.Body)
	for i := range r.load.Publishers {
		p, err := newPublisher(ctx, r.target, &r.load, r.topic, bodies, uint32(i))
		if err != nil {
			return err
		}
		r.publishers = append(r.publishers, p)
	}
	for i := range r.load.Channels {
		if err := r.subscribe(ctx, channelName(i)); err != nil {
			return err
		}
	}
	return nil
}

// subscribe adds a channel with its consumers.
func (r *run) subscribe(ctx context.Context, channel string) error {
	var all []*progress
	for _, p := range r.publishers {
		all = append(all, p.progress)
	}
	l := newLedger(r.publishers[0].bodies, all, r.start, r.more)
	l.shared = len(r.here) > 0
	r.ledgers = append(r.ledgers, l)
	for range r.load.Consumers {
		c, err := newConsumer(ctx, r.target, r.load.Encoding, r.topic, channel, l, &r.schedule)
		if err != nil {
			return err
		}
		r.consumers = append(r.consumers, c)
		r.wg.Go(func() {
			if err := c.consume(); err != nil {
				r.fail(err)
			}
		})
	}
	return nil
}

func (r *run) setReady(n int) error {
	for _, c := range r.consumers {
		if err := c.ready(n); err != nil {
			return err
		}
	}
	return nil
}

// publishAndConsume measures, after the warm-up, from the first publish until
// everything has been answered and delivered.
func (r *run) publishAndConsume(ctx context.Context) (*Result, error) {
	if err := r.setReady(r.load.Ready); err != nil {
		return nil, err
	}
	if err := r.phase(ctx, "warm-up", r.load.Warmup, nil); err != nil {
		return nil, err
	}
	var s *schedule
	for _, p := range r.publishers {
		p.published, p.late = histogram{}, histogram{}
	}
	m := r.begin()
	if r.load.Rate > 0 {
		s = newSchedule(m.start, r.load.Rate, r.load.Batch, r.firsts(), r.load.Defer)
		r.schedule.Store(s)
	}
	err := r.phase(ctx, "measuring", r.load.Measure, s)
	return r.end(m), err
}

// drainBacklog publishes everything while nobody may get it, then measures
// from the moment at which the consumers may. Publishing is the warm-up: a
// consumer that has been ready cannot know when it no longer is.
func (r *run) drainBacklog(ctx context.Context) (*Result, error) {
	if err := r.publishAll(ctx, "backlog", r.load.Measure, nil); err != nil {
		return nil, err
	}
	m := r.begin()
	if err := r.setReady(r.load.Ready); err != nil {
		return nil, err
	}
	err := r.awaitDeliveries(ctx, "measuring")
	return r.end(m), err
}

// verify consumes a topic that no channel has read. It is not measured.
func (r *run) verify(ctx context.Context) error {
	if err := r.subscribe(ctx, "verify"); err != nil {
		return err
	}
	if err := r.setReady(r.load.Ready); err != nil {
		return err
	}
	return r.awaitDeliveries(ctx, "checking")
}

func (r *run) firsts() (first []uint64) {
	for _, p := range r.publishers {
		first = append(first, p.next)
	}
	return first
}

// close ends all connections and waits for the consumers.
func (r *run) close() {
	r.hangUp()
	for _, c := range r.consumers {
		c.conn.Close()
	}
	r.wg.Wait()
}

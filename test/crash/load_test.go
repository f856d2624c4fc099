package crash

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// msgTimeout is short, so that ignored messages come back soon.
const msgTimeout = 2 * time.Second

// daemonFlags make segments roll and be reused, and messages time out.
var daemonFlags = []string{
	"-max-bytes-per-file=8388608",
	"-msg-timeout=" + msgTimeout.String(),
}

// plan is a load with kills.
type plan struct {
	messages int
	kills    int
	seed     uint64
	topics   []topicPlan
	limit    time.Duration // of the whole scenario
	drain    time.Duration // of the final drain
}

// topicPlan is a topic with its share of the messages.
type topicPlan struct {
	name     string
	percent  int
	channels []channelPlan
	mortal   bool // it is deleted and created again now and then
}

type channelPlan struct {
	name      string
	consumers int
	mortal    bool // it is deleted and created again now and then
	late      bool // it is not created before the load runs
	idle      bool // nobody consumes before the end
}

// wholeLoad is every kind of topic and channel there is: steady ones, one with
// a backlog that grows to the end, and ones that are deleted and re-created.
// The names are chosen to hurt: two differ by case, one is a parent directory.
func wholeLoad(messages, kills int, seed uint64) plan {
	return plan{
		messages: messages,
		kills:    kills,
		seed:     seed,
		limit:    3*time.Minute + time.Duration(kills)*25*time.Second + time.Duration(messages/10_000)*time.Second,
		drain:    time.Minute + time.Duration(messages/20_000)*time.Second,
		topics: []topicPlan{
			{name: "orders", percent: 40, channels: []channelPlan{
				{name: "mail", consumers: 2}, {name: "stats", consumers: 2}, {name: "audit", consumers: 2, idle: true}}},
			{name: "..", percent: 30, channels: []channelPlan{
				{name: "steady", consumers: 2}, {name: "mortal", consumers: 2, mortal: true}, {name: "late", consumers: 1, mortal: true, late: true}}},
			{name: "Orders", percent: 30, mortal: true, channels: []channelPlan{
				{name: "mail", consumers: 2}, {name: "Mail", consumers: 1}}},
		},
	}
}

// shares of a topic's messages by how they are published, in percent.
var shares = []struct {
	kind    kind
	percent int
}{{kindMulti, 56}, {kindPub, 34}, {kindHTTP, 7}, {kindDeferred, 3}}

// load is a plan at work.
type load struct {
	plan
	t   testing.TB
	l   *ledger
	d   *daemon
	rng *rand.Rand

	goal       *goal
	publishers []*publisher
	consumers  []*consumer
	mood, idle *mood
	surgery    []operation

	cancel             context.CancelFunc
	clients, operating sync.WaitGroup
}

// operation deletes a topic or channel and creates it again.
type operation struct {
	topic   string
	channel string // empty for the whole topic
	hit     []*channelLedger
}

// subject is the daemon that is tried: its binary, and what it finds in its
// environment.
type subject struct {
	bin string
	env []string
}

// runLoad carries out a plan against the daemon and returns the checked
// ledger.
func runLoad(t testing.TB, s subject, p plan) *ledger {
	t.Helper()
	x, ctx := begin(t, s, p)
	x.build(ctx)
	x.connect(ctx)
	operations, endOperations := context.WithCancel(ctx)
	defer endOperations()
	x.operating.Go(func() { x.operate(operations) })
	for n := range p.kills {
		if n%2 == 0 {
			x.burst(ctx, n)
		} else {
			x.stretch(ctx)
		}
		x.goal.step(n + 1)
		x.killAndRestart(ctx, n)
	}
	x.step(ctx, p.kills+1)
	endOperations()
	x.operating.Wait()
	x.awaitIdle(ctx)
	x.lastKill(ctx)
	return x.finish()
}

// begin starts the daemon. Whatever happens, everything has ended when the test
// ends.
func begin(t testing.TB, s subject, p plan) (*load, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), p.limit)
	x := prepare(t, s, p)
	x.cancel = cancel
	t.Cleanup(func() {
		cancel()
		x.operating.Wait()
		x.clients.Wait()
	})
	x.must(x.d.start(ctx))
	return x, ctx
}

// connect lets publishers and consumers run; publishers wait for their goal.
func (x *load) connect(ctx context.Context) {
	for _, k := range x.publishers {
		x.clients.Go(func() { k.publish(ctx) })
	}
	for _, k := range x.consumers {
		x.clients.Go(func() { k.consume(ctx) })
	}
}

// prepare makes the ledger and everything that will run, and starts nothing.
func prepare(t testing.TB, s subject, p plan) *load {
	x := &load{
		plan: p, t: t, l: newLedger(), d: newDaemon(t, s.bin, daemonFlags...),
		rng: rand.New(rand.NewPCG(p.seed, 1<<32)), goal: newGoal(p.kills + 1), mood: &mood{}, idle: &mood{},
	}
	x.d.env = s.env
	x.d.onStart, x.d.onEnd = x.l.runStarted, x.l.runEnds
	x.idle.waiting.Store(true)
	for _, tp := range p.topics {
		tl := x.l.addTopic(tp.name)
		for _, share := range shares {
			s := x.l.addStream(tl, p.messages*tp.percent/100*share.percent/100)
			x.publishers = append(x.publishers, newPublisher(x.l, x.d, s, share.kind, x.goal, p.seed))
		}
		for _, cp := range tp.channels {
			x.addChannel(tl, cp)
		}
		if tp.mortal {
			x.surgery = append(x.surgery, operation{topic: tp.name, hit: tl.channels})
		}
	}
	return x
}

func (x *load) addChannel(tl *topicLedger, cp channelPlan) {
	c := x.l.addChannel(tl, cp.name)
	m := x.mood
	if cp.idle {
		m = x.idle
	}
	for range cp.consumers {
		x.consumers = append(x.consumers, newConsumer(x.l, x.d, c, m, x.seed, uint64(len(x.consumers))))
	}
	if cp.mortal {
		x.surgery = append(x.surgery, operation{topic: tl.name, channel: cp.name, hit: []*channelLedger{c}})
	}
}

// build creates topics and channels, so that everything sent is owed to them.
func (x *load) build(ctx context.Context) {
	for i, tl := range x.l.topics {
		x.must(x.d.operate(ctx, "/topic/create", tl.name, "", false))
		for k, c := range tl.channels {
			if x.topics[i].channels[k].late {
				continue
			}
			x.must(x.d.operate(ctx, "/channel/create", tl.name, c.name, false))
			c.created()
		}
	}
}

func (x *load) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("%v\n%s\n%s", err, x.d.logTail(40), x.l.verdict())
	}
}

// operate deletes and re-creates in random order until ctx ends; what it has
// begun it completes.
func (x *load) operate(ctx context.Context) {
	rng := rand.New(rand.NewPCG(x.seed, 2<<32))
	for {
		for _, i := range rng.Perm(len(x.surgery)) {
			wait(ctx, 50*time.Millisecond+time.Duration(rng.Int64N(int64(time.Second))))
			if ctx.Err() != nil {
				return
			}
			op := x.surgery[i]
			if err := x.recreate(op); err != nil {
				x.l.report(faultAnswer, "delete and re-create %s/%s: %v", op.topic, op.channel, err)
				return
			}
		}
	}
}

// recreate may span kills: every command is repeated until it is answered, and
// nothing is owed meanwhile.
func (x *load) recreate(op operation) error {
	ctx, cancel := context.WithTimeout(x.t.Context(), time.Minute)
	defer cancel()
	for _, c := range op.hit {
		c.vanishing()
	}
	scope := "/channel/"
	if op.channel == "" {
		scope = "/topic/"
	}
	if err := x.d.operate(ctx, scope+"delete", op.topic, op.channel, true); err != nil {
		return err
	}
	if err := x.d.operate(ctx, "/topic/create", op.topic, "", false); err != nil {
		return err
	}
	for _, c := range op.hit {
		if err := x.d.operate(ctx, "/channel/create", op.topic, c.name, false); err != nil {
			return err
		}
		c.created()
	}
	return nil
}

// burst lets a whole step be published at full speed and ends at a random
// moment of it.
func (x *load) burst(ctx context.Context, n int) {
	target := x.answered() + int(float64(x.messages)/float64(x.kills+1)*(0.1+0.85*x.rng.Float64()))
	x.goal.step(n + 1)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	pulse := time.NewTicker(2 * time.Millisecond)
	defer pulse.Stop()
	for x.answered() < target {
		select {
		case <-pulse.C:
		case <-ctx.Done():
			return
		}
	}
}

// stretch publishes a step in slices over a random time, or part of it, and
// ends between two of them, so that acknowledgements have grown old.
func (x *load) stretch(ctx context.Context) {
	life := time.Second + time.Duration(x.rng.Int64N(int64(4*time.Second)))
	for range 1 + x.rng.IntN(slicesPerStep) {
		x.goal.slice()
		wait(ctx, life/slicesPerStep)
	}
	wait(ctx, time.Duration(x.rng.Int64N(int64(life/slicesPerStep))))
}

// step lets the streams go as far as these steps and waits until everything
// that may be sent was sent and answered or given up.
func (x *load) step(ctx context.Context, steps int) {
	x.goal.step(steps)
	pulse := time.NewTicker(5 * time.Millisecond)
	defer pulse.Stop()
	for x.answered() < x.allowed() {
		x.must(ctx.Err())
		x.must(x.d.died())
		<-pulse.C
	}
}

func (x *load) allowed() (n int) {
	for _, s := range x.l.streams {
		n += int(x.goal.of(s))
	}
	return n
}

func (x *load) answered() (n int) {
	for _, s := range x.l.streams {
		n += int(s.answered.Load())
	}
	return n
}

// killAndRestart now and then kills the next life too, while it recovers.
func (x *load) killAndRestart(ctx context.Context, n int) {
	x.must(x.d.died())
	x.d.kill()
	for n%3 == 1 && ctx.Err() == nil {
		_, err := x.d.launch()
		x.must(err)
		wait(ctx, time.Duration(x.rng.Int64N(int64(60*time.Millisecond))))
		x.must(x.d.died())
		x.d.kill()
		if x.rng.IntN(3) > 0 {
			break
		}
	}
	x.must(x.d.start(ctx))
}

// awaitIdle lets everybody finish everything and waits until nothing is left.
func (x *load) awaitIdle(ctx context.Context) {
	x.must(ctx.Err())
	x.mood.orderly.Store(true)
	x.idle.orderly.Store(true)
	x.idle.waiting.Store(false)
	left, err := x.d.awaitQuiet(ctx, x.drain)
	x.must(err)
	if left != nil {
		x.l.report(faultStuck, "not at rest: %v", left)
	}
}

// lastKill kills the daemon at rest: nothing may come back.
func (x *load) lastKill(ctx context.Context) {
	wait(ctx, sure+4*probeEvery)
	x.hold(true)
	x.restart(ctx)
	topics, err := x.d.stats(ctx)
	x.must(err)
	if left := busy(topics); len(left) > 0 {
		x.l.report(faultState, "at rest, killed, started again: %v", left)
	}
	x.hold(false)
	wait(ctx, sure)
	if left, err := x.d.awaitQuiet(ctx, x.drain); err != nil || left != nil {
		x.l.report(faultStuck, "not at rest after the last kill: %v %v", left, err)
	}
}

// hold keeps consumers from connecting; those that are connected stay.
func (x *load) hold(on bool) {
	x.mood.waiting.Store(on)
	x.idle.waiting.Store(on)
}

// restart kills the daemon and starts it again.
func (x *load) restart(ctx context.Context) {
	x.must(x.d.died())
	x.d.kill()
	x.must(x.d.start(ctx))
}

// finish ends everybody, then the daemon, and judges.
func (x *load) finish() *ledger {
	x.cancel()
	x.clients.Wait()
	if err := x.d.terminate(); err != nil {
		x.l.report(faultDeath, "%v", err)
	}
	for _, line := range x.d.logHas("panic:", "DATA RACE", "fatal error:") {
		x.l.report(faultDeath, "logged: %s", line)
	}
	x.l.check()
	return x.l
}

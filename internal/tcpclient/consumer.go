package tcpclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// ConsumerOptions say what is consumed and by whom it is handled.
type ConsumerOptions struct {
	Options
	Topic, Channel string
	// MaxInFlight is how many messages may be unanswered at a time, over all nodes;
	// each has one at least. Beyond 2500 there are several connections to each.
	MaxInFlight int

	// Nodes says which nodes have the topic, as TCP addresses. It is asked at the
	// start and, if Refresh is not 0, again and again; an error then leaves the
	// nodes as they are.
	Nodes   func(context.Context) ([]string, error)
	Refresh time.Duration
	// Follow, if it is not nil, calls changed whenever Nodes may answer something
	// else, until its context is done. It goes with Refresh, for directories that
	// cannot be followed.
	Follow func(ctx context.Context, changed func())

	// Handle gets what one read brought, from one goroutine for each node. It, or
	// somebody later, answers each message.
	Handle func([]Message)
	// Stopping, if it is not nil, is called once when no more messages are asked
	// for: who holds messages back answers them.
	Stopping func()
	// Grace is how long unanswered messages are waited for at the end; 0: 30 s.
	Grace time.Duration

	Logger *slog.Logger
}

const (
	defaultGrace = 30 * time.Second
	firstPause   = 250 * time.Millisecond // before a connection is tried again
	maxPause     = 15 * time.Second
)

// Consumer consumes one channel from all nodes that have it.
type Consumer struct {
	o ConsumerOptions

	mu        sync.Mutex // guards what follows; held across no I/O
	live      []*Subscription
	inFlight  int // that may be unanswered at a time
	following map[place]bool
	connected bool          // some node has taken a subscription
	again     chan struct{} // closed, and another one made, when a lost node is to be tried at once
}

// place is one of several connections to a node.
type place struct {
	node   string
	number int
}

// maxReady is how many messages nodes usually send on one connection before they
// are answered. Who wants more has more connections.
const maxReady = 2500

// connections is how many there are to each node.
func (o *ConsumerOptions) connections() int {
	return max(1, (o.MaxInFlight+maxReady-1)/maxReady)
}

// NewConsumer makes a consumer; Run has it consume.
func NewConsumer(o ConsumerOptions) *Consumer {
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	return &Consumer{o: o, inFlight: o.MaxInFlight, following: make(map[place]bool), again: make(chan struct{})}
}

// Run consumes until ctx is done; then no more messages are asked for, what is
// unanswered is waited for, and Run returns nil. It returns an error early when
// the nodes are not known, when all of them refuse what they were asked for, or
// when none of them, named once and for all, can be reached at the start.
func (c *Consumer) Run(ctx context.Context) error {
	nodes, err := c.o.Nodes(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	failures := make(chan error)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		running.Wait()
	}()
	if c.o.Stopping != nil {
		running.Go(func() {
			<-ctx.Done()
			c.o.Stopping()
		})
	}
	changed := make(chan struct{}, 1)
	if c.o.Follow != nil {
		running.Go(func() { c.o.Follow(ctx, func() { notify(changed) }) })
	}
	pending := c.follow(ctx, &running, failures, nodes)
	var refresh <-chan time.Time
	if c.o.Refresh > 0 {
		ticker := time.NewTicker(c.o.Refresh)
		defer ticker.Stop()
		refresh = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failures:
			pending--
			if pending == 0 && !c.everConnected() && (c.o.Refresh == 0 || isRefusal(err)) {
				return err
			}
			c.o.Logger.Warn("no connection", "topic", c.o.Topic, "error", err)
		case <-refresh:
			pending += c.lookAgain(ctx, &running, failures)
		case <-changed:
			pending += c.lookAgain(ctx, &running, failures)
			c.tryAgain()
		}
	}
}

// lookAgain asks for the nodes and consumes from those that are new. It says how
// many these are.
func (c *Consumer) lookAgain(ctx context.Context, running *sync.WaitGroup, failures chan<- error) int {
	nodes, err := c.o.Nodes(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.o.Logger.Warn("nodes are not known", "topic", c.o.Topic, "error", err)
		}
		return 0
	}
	return c.follow(ctx, running, failures, nodes)
}

// notify wakes who waits for a channel with room for one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tryAgain has lost nodes tried at once: one may be back.
func (c *Consumer) tryAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.again)
	c.again = make(chan struct{})
}

func (c *Consumer) asked() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again
}

func (c *Consumer) everConnected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}

// isRefusal tells whether trying again helps nothing.
func isRefusal(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) || errors.Is(err, ErrNoTail)
}

// follow starts to consume from those nodes that are new, and says how many.
func (c *Consumer) follow(ctx context.Context, running *sync.WaitGroup, failures chan<- error, nodes []string) (started int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, node := range nodes {
		for number := range c.o.connections() {
			at := place{node, number}
			if c.following[at] {
				continue
			}
			c.following[at] = true
			started++
			running.Go(func() { c.keep(ctx, at, failures) })
		}
	}
	return started
}

// keep consumes from a node, connecting again and again. Where nodes are looked
// up, one that is gone is left to the directory. The first failure is told.
func (c *Consumer) keep(ctx context.Context, at place, failures chan<- error) {
	defer func() {
		c.mu.Lock()
		delete(c.following, at)
		c.mu.Unlock()
	}()
	told := false
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		was, asked := time.Now(), c.asked()
		err := c.once(ctx, at.node)
		if ctx.Err() != nil {
			return
		}
		if time.Since(was) > maxPause {
			pause = firstPause // it worked for a while
		}
		if told {
			c.o.Logger.Warn("no connection", "topic", c.o.Topic, "error", err, "again_in", pause)
		} else {
			told = true
			select {
			case failures <- err:
			case <-ctx.Done():
				return
			}
		}
		if c.o.Refresh > 0 && pause >= maxPause {
			return // the directory says whether it is to be tried again
		}
		select {
		case <-time.After(pause):
		case <-asked:
			pause = firstPause / 2
		case <-ctx.Done():
			return
		}
	}
}

// once consumes from a node until the connection ends, or until ctx is done and
// all is answered.
func (c *Consumer) once(ctx context.Context, node string) error {
	s, err := subscribe(ctx, node, &c.o.Options, c.o.Topic, c.o.Channel)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	var attending sync.WaitGroup
	attending.Go(func() { s.attend(ctx, c.o.Grace, ended) })
	defer func() {
		s.conn.net.Close()
		close(ended)
		attending.Wait()
	}()
	c.join(s)
	defer c.part(s)
	if err := s.read(c.o.Handle); err != nil {
		return fmt.Errorf("%s: %w", node, err)
	}
	select { // the node sends no more
	case <-s.answered():
	case <-time.After(c.o.Grace):
		c.o.Logger.Warn("messages stay unanswered and are delivered again", "node", node)
	}
	s.Flush()
	return nil
}

// join counts a subscription in.
func (c *Consumer) join(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = true
	c.live = append(c.live, s)
	c.share()
}

func (c *Consumer) part(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = slices.DeleteFunc(c.live, func(other *Subscription) bool { return other == s })
	c.share()
}

// share divides what may be in flight among the subscriptions. The caller holds
// c.mu.
func (c *Consumer) share() {
	if len(c.live) == 0 {
		return
	}
	each := c.inFlight / len(c.live)
	if c.inFlight > 0 {
		each = max(1, each)
	}
	for _, s := range c.live {
		s.ready(each)
	}
}

// SetInFlight changes how many messages may be unanswered at a time; 0 asks for
// none until it is changed again.
func (c *Consumer) SetInFlight(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight != n {
		c.inFlight = n
		c.share()
	}
}

// Late counts the answers that nodes did not take on connections that live.
func (c *Consumer) Late() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.live {
		n += s.Late()
	}
	return n
}

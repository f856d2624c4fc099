package server

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/test/node"
	"qmq/test/wire"
	"qmq/topic"
)

// others are nodes that have all topics but those whose names begin with "local". What
// is published waits until it is let go.
type others struct {
	broker.Replicas

	mu       sync.Mutex // guards what follows
	started  []int      // messages of what was started
	found    int        // times that a Publisher was asked for
	fates    chan error // one for each that was started, in their order
	publish  error      // what Publish says
	unstarts bool       // nothing can be started
}

func (o *others) Replicated(name string) bool { return !strings.HasPrefix(name, "local") }

func (o *others) Publisher(name string, create bool) (broker.Publisher, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found++
	if name == "none" {
		return nil, topic.ErrNoAutoCreate
	}
	return starter{o, name}, nil
}

func (o *others) messages() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.started)
}

type starter struct {
	o    *others
	name string
}

func (s starter) Name() string { return s.name }

func (s starter) Stamp() *topic.Stamp            { return nil }
func (s starter) Publish(*diskqueue.Batch) error { return s.o.publish }

func (s starter) Start(b *diskqueue.Batch) (wait func() error, ok bool) {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	if s.o.unstarts {
		return nil, false
	}
	s.o.started = append(s.o.started, b.Len())
	b.Reset() // it is the caller's again, and may become anything
	return func() error { return <-s.o.fates }, true
}

func startBesideOthers(t *testing.T) (*rig, *others) {
	o := &others{fates: make(chan error, 1000)}
	return startOn(t, node.Open(t, func(b *broker.Options) { b.Replicas = o })), o
}

// awaitStarted waits until so many messages were started.
func (o *others) awaitStarted(t *testing.T, want int) {
	t.Helper()
	eventually(t, func() bool {
		sum := 0
		for _, n := range o.messages() {
			sum += n
		}
		return sum >= want
	})
}

func TestPublishesThatOthersHaveAPartInOverlap(t *testing.T) {
	r, o := startBesideOthers(t)
	c := r.connect(wire.Pub("a", "1"))
	o.awaitStarted(t, 1)
	c.Send(wire.MPub("a", "2", "3") + wire.Pub("b", "4"))
	o.awaitStarted(t, 4) // though the first has no answer
	c.Send(wire.Pub("a", "5"))
	o.awaitStarted(t, 5)
	for _, fate := range []error{nil, errors.New("no leader"), nil, nil} {
		o.fates <- fate
	}
	c.Expect("OK")
	c.ExpectError("E_MPUB_FAILED MPUB failed no leader")
	c.Expect("OK", "OK")
}

func TestWhatFollowsPublishesWaitsForThem(t *testing.T) {
	const id = "00000000deadbeef"
	for name, next := range map[string]struct{ command, answer string }{
		"an answer to a message":         {"FIN " + id + "\n", "E_FIN_FAILED FIN " + id + " failed ID not in flight"},
		"a publish that this node keeps": {wire.Pub("local", "x"), "OK"},
		"a fatal mistake":                {"WHAT\n", "E_INVALID invalid command WHAT"},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := startBesideOthers(t)
			c := r.connect()
			if strings.HasPrefix(next.command, "FIN") {
				c.Consume("local", "ch", 0)
			}
			c.Send(wire.Pub("a", "1"))
			o.awaitStarted(t, 1)
			c.Send(next.command)
			o.fates <- errors.New("no leader")
			c.ExpectError("E_PUB_FAILED PUB failed no leader")
			if next.answer == "OK" {
				c.Expect("OK")
			} else {
				c.ExpectError(next.answer)
			}
		})
	}
}

// TestATopicIsFoundAnewAfterARefusal: what it was found as may be gone for good.
func TestATopicIsFoundAnewAfterARefusal(t *testing.T) {
	r, o := startBesideOthers(t)
	c := r.connect()
	publish := func(fate error) {
		c.Send(wire.Pub("a", "x"))
		o.fates <- fate
		c.Frame()
	}
	for _, fate := range []error{nil, errors.New("the node is stopping"), nil, nil, nil} {
		publish(fate)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.found != 2 {
		t.Errorf("it was looked for %d times", o.found)
	}
}

func TestPublishThatCannotBeStartedIsDone(t *testing.T) {
	r, o := startBesideOthers(t)
	o.unstarts, o.publish = true, errors.New("no leader")
	c := r.connect(wire.Pub("a", "1") + wire.Pub("none", "2"))
	c.ExpectError("E_PUB_FAILED PUB failed no leader")
	c.ExpectError("E_PUB_FAILED PUB failed " + topic.ErrNoAutoCreate.Error())
	o.mu.Lock()
	o.publish = channel.ErrExiting
	o.mu.Unlock()
	c.Send(wire.Pub("a", "3"))
	c.ExpectError("E_PUB_FAILED PUB failed " + channel.ErrExiting.Error())
}

// TestNoMoreIsStartedThanABatchMayHave: a client that does not wait for answers must
// not have all it sends in memory.
func TestNoMoreIsStartedThanABatchMayHave(t *testing.T) {
	r, o := startBesideOthers(t)
	body := strings.Repeat("x", 200<<10)
	const sent = 40
	c := r.connect()
	go c.Write([]byte(strings.Repeat(wire.Pub("a", body), sent)))
	for answered, i := 0, 0; answered < sent; i++ {
		o.awaitStarted(t, answered+1)
		under := -answered
		for _, n := range o.messages() {
			under += n
		}
		if bytes := under * len(body); bytes > 2*maxBatchBytes+len(body) { // what is under way, and one batch
			t.Fatalf("%d bytes are under way", bytes)
		}
		o.fates <- nil
		for range o.messages()[i] {
			c.Expect("OK")
			answered++
		}
	}
}

// TestFewSmallPublishesAreStarted: what each of them is answered from takes memory.
func TestFewSmallPublishesAreStarted(t *testing.T) {
	r, o := startBesideOthers(t)
	c := r.connect()
	sent := 0
	for range 3 * maxStarted { // by then the reader waits, and has stopped reading
		c.Send(wire.Pub("a", "x"))
		if sent++; sent <= maxStarted {
			o.awaitStarted(t, sent)
		}
	}
	if n := len(o.messages()); n > maxStarted {
		t.Errorf("%d are under way", n)
	}
	for range sent {
		o.fates <- nil
	}
	for range sent {
		c.Expect("OK")
	}
	if n := len(o.messages()); n > 2*maxStarted { // those that waited have come together
		t.Errorf("%d batches were started for %d publishes", n, sent)
	}
}

func TestClientThatLeavesIsForgottenOnceItsPublishesAreKnown(t *testing.T) {
	r, o := startBesideOthers(t)
	c := r.connect(wire.Pub("a", "1"))
	o.awaitStarted(t, 1)
	c.Close()
	o.fates <- nil
	eventually(t, func() bool { return len(slices.Collect(r.tcp.Clients())) == 0 })
}

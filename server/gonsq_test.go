package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// patientConfig is a client's that stays connected on a machine with other
// things to do: by default a write that is kept waiting for a second, for a
// processor or anything else, ends the connection, and a consumer comes back
// only a minute later.
func patientConfig() *nsq.Config {
	config := nsq.NewConfig()
	config.DialTimeout, config.WriteTimeout = testTimeout, testTimeout
	return config
}

func (r *rig) producer(change ...func(*nsq.Config)) *nsq.Producer {
	r.t.Helper()
	config := patientConfig()
	for _, c := range change {
		c(config)
	}
	p, err := nsq.NewProducer(r.address, config)
	if err != nil {
		r.t.Fatal(err)
	}
	p.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	r.t.Cleanup(p.Stop)
	return p
}

func (r *rig) consumer(topic, channel string, handle nsq.HandlerFunc, change ...func(*nsq.Config)) *nsq.Consumer {
	r.t.Helper()
	config := patientConfig()
	config.DefaultRequeueDelay = 0
	config.BackoffMultiplier = 0
	for _, c := range change {
		c(config)
	}
	k, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		r.t.Fatal(err)
	}
	k.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	k.AddConcurrentHandlers(handle, 4)
	if err := k.ConnectToNSQD(r.address); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		k.Stop()
		<-k.StopChan
	})
	return k
}

// trusting is a client's TLS that takes any certificate.
func trusting() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestGoNSQProducesAndConsumes(t *testing.T) {
	const single, batches = 200, 20
	r := start(t)
	got := make(chan string, 1000)
	handle := func(m *nsq.Message) error {
		got <- string(m.Body)
		return nil
	}
	r.consumer("t", "a", handle, func(c *nsq.Config) { c.MaxInFlight = 50 })
	r.consumer("t", "a", handle, func(c *nsq.Config) { c.MaxInFlight = 50 })
	p := r.producer()
	var want, all []string
	for i := range single {
		body := fmt.Sprint("single ", i)
		want = append(want, body)
		if err := p.Publish("t", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range batches {
		var bodies [][]byte
		for j := range 10 {
			body := fmt.Sprint("batch ", i, j)
			want = append(want, body)
			bodies = append(bodies, []byte(body))
		}
		if err := p.MultiPublish("t", bodies); err != nil {
			t.Fatal(err)
		}
	}
	for range want {
		all = append(all, process.Next(t, got))
	}
	slices.Sort(want)
	slices.Sort(all)
	if !slices.Equal(want, all) {
		t.Error("other messages arrived than were published")
	}
}

func TestGoNSQGivesUpAfterMaxAttempts(t *testing.T) {
	r := start(t)
	var mu sync.Mutex
	var attempts []uint16
	gaveUp := make(chan uint16, 1)
	k := &quitter{handle: func(m *nsq.Message) error {
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, m.Attempts)
		return errors.New("no")
	}, gaveUp: gaveUp}
	config := patientConfig()
	config.DefaultRequeueDelay = 0
	config.BackoffMultiplier = 0
	consumer, err := nsq.NewConsumer("t", "ch", config)
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	consumer.AddHandler(k)
	if err := consumer.ConnectToNSQD(r.address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		consumer.Stop()
		<-consumer.StopChan
	})
	if err := r.producer().Publish("t", []byte("bad")); err != nil {
		t.Fatal(err)
	}
	if last := process.Next(t, gaveUp); last != 6 {
		t.Errorf("gave up at delivery %d", last)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []uint16{1, 2, 3, 4, 5}; !slices.Equal(attempts, want) {
		t.Errorf("attempts were %v, want %v", attempts, want)
	}
}

// quitter is a handler that is told when the client gives a message up.
type quitter struct {
	handle nsq.HandlerFunc
	gaveUp chan uint16
}

func (q *quitter) HandleMessage(m *nsq.Message) error { return q.handle(m) }
func (q *quitter) LogFailedMessage(m *nsq.Message)    { q.gaveUp <- m.Attempts }

func TestGoNSQDeferredPublishAndRequeue(t *testing.T) {
	const delay = 100 * time.Millisecond
	r := start(t)
	type delivery struct {
		at       time.Time
		attempts uint16
	}
	got := make(chan delivery, 10)
	r.consumer("t", "ch", func(m *nsq.Message) error {
		got <- delivery{time.Now(), m.Attempts}
		if m.Attempts == 1 {
			m.RequeueWithoutBackoff(delay)
		}
		return nil
	})
	began := time.Now()
	if err := r.producer().DeferredPublish("t", delay, []byte("x")); err != nil {
		t.Fatal(err)
	}
	first := process.Next(t, got)
	if first.attempts != 1 || first.at.Sub(began) < delay {
		t.Errorf("first came as attempt %d after %v", first.attempts, first.at.Sub(began))
	}
	second := process.Next(t, got)
	if second.attempts != 2 || second.at.Sub(first.at) < delay {
		t.Errorf("second came as attempt %d after %v", second.attempts, second.at.Sub(first.at))
	}
}

func TestGoNSQTouchKeepsAMessage(t *testing.T) {
	const timeout = time.Second // the shortest that a client may ask for
	r := start(t)
	why := ""
	for try := range 20 { // again where the machine is so busy that a TOUCH comes too late
		topic := fmt.Sprint("t", try)
		attempts, longest := r.touched(topic, timeout)
		timeouts := channelStatsOf(t, r, topic, "ch").TimeoutCount
		if attempts == 1 && timeouts == 0 {
			return
		}
		why = fmt.Sprintf("it came again in spite of TOUCH, as attempt %d, with %d timeouts; once there was no TOUCH for %v", attempts, timeouts, longest)
		t.Log(why)
	}
	t.Error(why)
}

// touched has a message of a topic be touched for longer than its timeout, and then finished.
// Longest is the longest time between its beginning, the TOUCHes and its end.
func (r *rig) touched(topic string, timeout time.Duration) (attempts uint16, longest time.Duration) {
	r.t.Helper()
	got := make(chan uint16, 10)
	var mu sync.Mutex // guards longest and last
	last := time.Now()
	progress := func() {
		mu.Lock()
		defer mu.Unlock()
		longest, last = max(longest, time.Since(last)), time.Now()
	}
	r.consumer(topic, "ch", func(m *nsq.Message) error {
		if m.Attempts > 1 {
			got <- m.Attempts
			return nil
		}
		progress()
		tick := time.NewTicker(timeout / 3)
		defer tick.Stop()
		for range 5 {
			<-tick.C
			m.Touch()
			progress()
		}
		got <- m.Attempts
		return nil
	}, func(c *nsq.Config) { c.MsgTimeout = timeout })
	if err := r.producer().Publish(topic, []byte("x")); err != nil {
		r.t.Fatal(err)
	}
	attempts = process.Next(r.t, got)
	eventually(r.t, func() bool { return channelStatsOf(r.t, r, topic, "ch").InFlight == 0 })
	progress()
	mu.Lock()
	defer mu.Unlock()
	return attempts, longest
}

func TestGoNSQMessageOfAStuckHandlerComesAgain(t *testing.T) {
	r := start(t)
	release := make(chan struct{})
	got := make(chan uint16, 10)
	r.consumer("t", "ch", func(m *nsq.Message) error {
		got <- m.Attempts
		if m.Attempts == 1 {
			<-release
		}
		return nil
	}, func(c *nsq.Config) { c.MsgTimeout, c.MaxInFlight = time.Second, 2 })
	if err := r.producer().Publish("t", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if first, second := process.Next(t, got), process.Next(t, got); first != 1 || second != 2 {
		t.Errorf("attempts %d and %d", first, second)
	}
	close(release)
	if s := channelStatsOf(t, r, "t", "ch"); s.TimeoutCount < 1 { // more where this machine stands still
		t.Errorf("%d timeouts", s.TimeoutCount)
	}
}

func TestGoNSQStopsCleanly(t *testing.T) {
	r := start(t)
	got := make(chan string, 100)
	k := r.consumer("t", "ch", func(m *nsq.Message) error {
		got <- string(m.Body)
		return nil
	})
	if err := r.producer().Publish("t", []byte("x")); err != nil {
		t.Fatal(err)
	}
	process.Next(t, got)
	k.Stop()
	process.Next(t, k.StopChan)
	eventually(t, func() bool { return len(channelStatsOf(t, r, "t", "ch").Consumers) == 0 })
}

func TestGoNSQSeesErrors(t *testing.T) {
	r := start(t)
	for _, test := range []struct{ topic, body, want string }{
		{"no$topic", "x", `E_BAD_TOPIC PUB topic name "no$topic" is not valid`},
		{"t", "", "E_BAD_MESSAGE PUB invalid message body size 0"},
	} {
		var refused nsq.ErrProtocol
		if err := r.producer().Publish(test.topic, []byte(test.body)); !errors.As(err, &refused) || refused.Reason != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

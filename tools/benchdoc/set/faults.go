package set

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/cluster"
	"qmq/replica/serve"
	"qmq/test/process"
	"qmq/tools/benchdoc/testbed"
)

// faulty is a fault of the leader of a topic. heal takes it back.
type faulty func(ctx context.Context, set *testbed.Set, topic string, leader int) (heal func() error, err error)

func killed(ctx context.Context, set *testbed.Set, _ string, leader int) (heal func() error, err error) {
	set.Members[leader].Kill()
	return func() error { return set.Start(ctx, leader) }, nil
}

func stopped(_ context.Context, set *testbed.Set, _ string, leader int) (heal func() error, err error) {
	d := set.Members[leader]
	return func() error { return d.Signal(syscall.SIGCONT) }, d.Signal(syscall.SIGSTOP)
}

// moved has another member lead the topic, as people do.
func moved(ctx context.Context, set *testbed.Set, topic string, leader int) (heal func() error, err error) {
	const groups = 1 // before the shards of topics: that of the members themselves
	shard := serve.ShardOf(topic, cluster.Shards) + groups
	to := (leader + 1) % len(set.Members)
	_, err = set.Members[to].Do(ctx, http.MethodPost, fmt.Sprintf("/cluster/move?shard=%d&to=%s", shard, set.Address(to)))
	return func() error { return nil }, err
}

// watcher is somebody who notices a fault. It begins to look at a topic of a set from
// a member that goes on; stop ends that, and moments are when something went well.
type watcher func(ctx context.Context, set *testbed.Set, topic string, from int) (w *watched, err error)

type watched struct {
	mu      sync.Mutex // guards moments
	moments []time.Time
	end     func()
}

func (w *watched) note() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moments = append(w.moments, time.Now())
}

// begun says whether something went well yet.
func (w *watched) begun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.moments) > 0
}

// longest is the longest time between two moments, the later of which is behind a
// moment; what has not ended counts too.
func (w *watched) longest(since time.Time) (gap time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(slices.Clone(w.moments), time.Now())
	for i, at := range all[1:] {
		if at.After(since) {
			gap = max(gap, at.Sub(all[i]))
		}
	}
	return gap
}

// publishing publishes one message after the other.
func publishing(ctx context.Context, set *testbed.Set, topic string, from int) (*watched, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := new(watched)
	var working sync.WaitGroup
	client := &http.Client{Transport: new(http.Transport)}
	address := set.Members[from].HTTP
	working.Go(func() {
		for ctx.Err() == nil {
			if _, err := process.Ask(ctx, client, http.MethodPost, address, "/pub?topic="+topic, "a message of the one who watches"); err == nil {
				w.note()
			}
		}
	})
	w.end = func() {
		cancel()
		working.Wait()
		client.CloseIdleConnections()
	}
	return w, nil
}

// consuming consumes what publishing publishes, with the stock client and all members'
// addresses.
func consuming(maxInFlight int) watcher {
	return func(ctx context.Context, set *testbed.Set, topic string, from int) (*watched, error) {
		config := nsq.NewConfig()
		config.MaxInFlight = maxInFlight
		consumer, err := nsq.NewConsumer(topic, "c0", config)
		if err != nil {
			return nil, err
		}
		consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
		w := new(watched)
		consumer.AddHandler(nsq.HandlerFunc(func(*nsq.Message) error {
			w.note()
			return nil
		}))
		for i := range set.Members { // the leader, which is before from, is the first to have its turn
			d := set.Members[(from+len(set.Members)-1+i)%len(set.Members)]
			if err := consumer.ConnectToNSQD(d.TCP); err != nil {
				return nil, err
			}
		}
		publisher, err := publishing(ctx, set, topic, from)
		if err != nil {
			return nil, err
		}
		w.end = func() {
			publisher.end()
			consumer.Stop()
			<-consumer.StopChan
		}
		return w, nil
	}
}

// disturbance is what befalls a set, and who notices.
type disturbance struct {
	state
	fault faulty
	watch watcher
	// timeout is how many times as long as usual it is watched.
	timeout time.Duration
}

// gaps is a row in which the leader of a topic fails again and again, and somebody
// notices for how long nothing goes on.
func gaps(name string, what disturbance, bars ...Bar) row {
	return row{
		name: name,
		onSet: func(ctx context.Context, set *testbed.Set, s scale) (values, error) {
			const topic = "watched"
			if err := create(ctx, set.Members[0], topic, "c0"); err != nil {
				return nil, err
			}
			if err := what.fill(ctx, set, s); err != nil {
				return nil, err
			}
			s.watch *= max(1, what.timeout)
			v := values{}
			for range s.faults {
				took, err := what.once(ctx, set, topic, s)
				if err != nil {
					return nil, err
				}
				v.add(gap, took.Seconds()*1e3)
				v.add(maxGap, took.Seconds()*1e3)
			}
			return v, nil
		},
		bars: bars,
	}
}

// once has one fault, and is the longest gap that was noticed. All is well again then.
func (what disturbance) once(ctx context.Context, set *testbed.Set, topic string, s scale) (took time.Duration, err error) {
	leader, err := set.Leader(ctx, topic)
	if err != nil {
		return 0, err
	}
	w, err := what.watch(ctx, set, topic, (leader+1)%len(set.Members))
	if err != nil {
		return 0, err
	}
	// A gap is between two moments: without the first there is none.
	err = testbed.Await(ctx, "who watches to notice something", w.begun)
	if err == nil {
		err = pause(ctx, s.watch/4)
	}
	var heal func() error
	begin := time.Now()
	if err == nil {
		heal, err = what.fault(ctx, set, topic, leader)
	}
	if err == nil {
		err = pause(ctx, s.watch)
	}
	took = w.longest(begin)
	if heal != nil {
		if healed := heal(); err == nil {
			err = healed
		}
	}
	w.end()
	if err != nil {
		return 0, err
	}
	return took, set.AwaitReady(ctx)
}

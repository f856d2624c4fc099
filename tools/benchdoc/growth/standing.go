package growth

import (
	"context"
	"time"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// Experiments in which more and more stands in a daemon while the same is done.

func idleTopics() experiment {
	series := Series{
		Name: "idle topics", Quantity: "other topics, with a channel each", Per: message,
		Fixed: fixedLoad + "; nothing happens in the other topics",
	}
	return experiment{series: []Series{series}, xs: []int{0, 100, 1000, 10_000}, grows: true, begin: func(d *testbed.Daemon, s scale) *trial {
		have := 0
		return &trial{
			prepare: func(ctx context.Context, x int) error {
				err := d.CreateTopics(ctx, have, x, 1)
				have = x
				return err
			},
			measure: func(ctx context.Context, x int) ([]Figures, error) {
				f, err := put(ctx, d, mpub(), message, s)
				return []Figures{f}, err
			},
		}
	}}
}

// stock is a topic with a channel in which messages stand that nobody gets.
type stock struct {
	daemon *testbed.Daemon
	have   int
	add    func(ctx context.Context, topic string, messages int) error
}

// grow brings what stands to x.
func (s *stock) grow(ctx context.Context, x int) error {
	if s.have == 0 {
		if err := s.daemon.CreateTopics(ctx, 0, 1, 1); err != nil {
			return err
		}
	}
	if x <= s.have {
		return nil
	}
	err := s.add(ctx, testbed.TopicName(0), x-s.have)
	s.have = x
	return err
}

// measure puts the load on the same channel, which is called as the generator
// calls the first one.
func (s *stock) measure(sc scale) func(ctx context.Context, x int) ([]Figures, error) {
	return func(ctx context.Context, x int) ([]Figures, error) {
		l := mpub()
		l.Topic = testbed.TopicName(0)
		f, err := put(ctx, s.daemon, l, message, sc)
		return []Figures{f}, err
	}
}

// fill publishes messages to a topic.
func fill(ctx context.Context, d *testbed.Daemon, topic string, messages int) error {
	_, err := run(ctx, d, loadgen.Load{Topic: topic, Batch: 200, Window: 10, Measure: loadgen.Amount{Messages: messages}})
	return err
}

func inFlight() experiment {
	series := Series{
		Name: "in flight", Quantity: "messages that another consumer of the channel holds", Per: message,
		Fixed: fixedLoad,
	}
	return experiment{
		series: []Series{series}, xs: []int{0, 10_000, 100_000, 1_000_000}, grows: true,
		flags: []string{"--max-rdy-count=1000000", "--msg-timeout=15m"},
		begin: func(d *testbed.Daemon, s scale) *trial {
			var holders []*loadgen.Held
			st := &stock{daemon: d, add: func(ctx context.Context, topic string, messages int) error {
				h, err := loadgen.Hold(ctx, d.Target, topic, "c0", messages)
				if err != nil {
					return err
				}
				holders = append(holders, h)
				if err := fill(ctx, d, topic, messages); err != nil {
					return err
				}
				return h.Await(ctx)
			}}
			return &trial{prepare: st.grow, measure: st.measure(s), end: func() {
				for _, h := range holders {
					h.Close()
				}
			}}
		},
	}
}

func deferred() experiment {
	series := Series{
		Name: "deferred", Quantity: "messages that are due in 50 minutes", Per: message,
		Fixed: fixedLoad,
	}
	return experiment{
		series: []Series{series}, xs: []int{0, 10_000, 100_000, 1_000_000, 5_000_000}, grows: true,
		begin: func(d *testbed.Daemon, s scale) *trial {
			st := &stock{daemon: d, add: func(ctx context.Context, topic string, messages int) error {
				_, err := run(ctx, d, loadgen.Load{Topic: topic, Window: 500, Defer: 50 * time.Minute, Measure: loadgen.Amount{Messages: messages}})
				return err
			}}
			return &trial{prepare: st.grow, measure: st.measure(s)}
		},
	}
}

func backlog() experiment {
	const quantity = "messages that stand in the channel"
	return experiment{
		series: []Series{
			{Name: "backlog, publishing", Quantity: quantity, Per: message, Fixed: "MPUB of 200 messages of 200 B; 100,000 messages are published and then as many consumed, in turn"},
			{Name: "backlog, consuming", Quantity: quantity, Per: message, Fixed: "the same messages, from the front of the channel, by 1 consumer"},
		},
		xs: []int{0, 100_000, 1_000_000, 5_000_000, 20_000_000}, grows: true,
		begin: func(d *testbed.Daemon, s scale) *trial {
			t := &turns{daemon: d, scale: s}
			return &trial{prepare: t.grow, measure: t.measure, end: t.close}
		},
	}
}

// turns are publishing and consuming in turn.
type turns struct {
	daemon  *testbed.Daemon
	scale   scale
	backlog *loadgen.Backlog
	have    int
	end     context.CancelFunc
}

func (t *turns) grow(ctx context.Context, x int) error {
	if t.backlog == nil {
		var life context.Context
		life, t.end = context.WithCancel(context.WithoutCancel(ctx)) // it outlives the first point
		b, err := loadgen.OpenBacklog(life, t.daemon.Target, mpub())
		if err != nil {
			t.end()
			return err
		}
		t.backlog = b
	}
	if x <= t.have {
		return nil
	}
	_, err := t.backlog.Publish(ctx, x-t.have)
	t.have = x
	return err
}

// measure goes on until both have been done for as long as a measurement takes.
func (t *turns) measure(ctx context.Context, x int) ([]Figures, error) {
	const turn = 100_000
	var published, consumed sum
	for enough := false; !enough; enough = min(published.seconds, consumed.seconds) >= t.scale.duration.Seconds() {
		r, err := t.backlog.Publish(ctx, turn)
		if err == nil {
			err = published.add(r)
		}
		if err != nil {
			return nil, err
		}
		if r, err = t.backlog.Consume(ctx, x); err == nil {
			err = consumed.add(r)
		}
		if err != nil {
			return nil, err
		}
	}
	return []Figures{published.figures(), consumed.figures()}, nil
}

func (t *turns) close() {
	if t.backlog != nil {
		_ = t.backlog.Close() // the daemon and its data go away
		t.end()
	}
}

// sum is of several results.
type sum struct {
	seconds, messages, serverCPU, generatorCPU float64
	last                                       Figures
}

func (s *sum) add(r *loadgen.Result) (err error) {
	if s.last, err = figuresOf(r, message); err != nil {
		return err
	}
	n := float64(r.Messages)
	s.seconds += r.Seconds
	s.messages += n
	s.serverCPU += s.last.ServerCPU * n
	s.generatorCPU += s.last.GeneratorCPU * n
	return nil
}

func (s *sum) figures() Figures {
	f := s.last // memory and what was altered
	f.Rate = s.messages / s.seconds
	f.DeliveryRate = 0
	f.ServerCPU, f.GeneratorCPU = s.serverCPU/s.messages, s.generatorCPU/s.messages
	return f
}

package set

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"qmq/loadgen"
	"qmq/tools/benchdoc/testbed"
)

// streamLoad puts the load of backlogOfSet on a stream, with the client library of
// JetStream: publishes in one of several ways, and pulls of many.
type streamLoad struct {
	how     streamPublishing
	servers *testbed.JetStream
	conn    *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream

	number uint64       // of the next message
	failed atomic.Value // error: the first publish that was refused
	body   [peerBody]byte
}

const (
	streamName  = "PEER"
	streamTopic = "peer"
	streamGroup = "c"
	// streamStall is how long a publish waits for room among those that are not answered.
	streamStall = 30 * time.Second
	// streamIdle is how long nothing may come before what is missing counts as lost.
	streamIdle = 30 * time.Second
)

// streamPublishing is a way to publish many messages to a stream.
type streamPublishing struct {
	name    string                        // behind that of a row
	allow   func(*jetstream.StreamConfig) // what a stream allows for it
	publish func(l *streamLoad, ctx context.Context, messages int) error
}

// oneByOne is publishing whose answers, one for each message, are not waited for one by one.
var oneByOne = streamPublishing{allow: func(*jetstream.StreamConfig) {}, publish: (*streamLoad).publishOneByOne}

// backlog publishes at the leader of a stream that has a consumer, and then consumes.
func (p streamPublishing) backlog(ctx context.Context, servers *testbed.JetStream, s scale) (values, error) {
	l := &streamLoad{how: p, servers: servers}
	defer l.close()
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, servers.Log())
	}
	if err := p.publish(l, ctx, s.count(peerWarmup)); err != nil {
		return nil, err
	}
	published, err := l.measured(s.count(peerMessages), func(n int) error { return p.publish(l, ctx, n) })
	if err != nil {
		return nil, err
	}
	consumed, err := l.measured(int(l.number), func(n int) error { return l.consume(ctx, n) })
	if err != nil {
		return nil, err
	}
	return values{
		publishRate: {published.rate}, publishCPU: {published.all}, publishGenerator: {published.own},
		consumeRate: {consumed.rate}, consumeCPU: {consumed.all}, consumeGenerator: {consumed.own},
	}, nil
}

// open makes the stream and its consumer, and connects to who leads it.
func (l *streamLoad) open(ctx context.Context) error {
	if err := l.connect(l.servers.Servers[0].URL); err != nil {
		return err
	}
	config := jetstream.StreamConfig{
		Name: streamName, Subjects: []string{streamTopic}, Storage: jetstream.FileStorage, Replicas: len(l.servers.Servers),
	}
	l.how.allow(&config)
	var leader string
	err := testbed.Retry(ctx, func(ctx context.Context) error {
		stream, err := l.js.CreateOrUpdateStream(ctx, config)
		if err != nil {
			return err
		}
		if leader, err = leaderOf(stream.CachedInfo().Cluster, len(l.servers.Servers)); err != nil {
			return err
		}
		_, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: streamGroup, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 4 * peerPulled,
		})
		return err
	})
	if err != nil {
		return err
	}
	at := l.servers.Server(leader)
	if at == nil {
		return fmt.Errorf("the stream is led by %q, which is no server", leader)
	}
	l.conn.Close()
	if err := l.connect(at.URL); err != nil {
		return err
	}
	l.stream, err = l.js.Stream(ctx, streamName)
	return err
}

// leaderOf wants all replicas to be there.
func leaderOf(c *jetstream.ClusterInfo, replicas int) (leader string, err error) {
	if c == nil || c.Leader == "" || len(c.Replicas) != replicas-1 {
		return "", fmt.Errorf("the stream has no leader, or too few replicas: %+v", c)
	}
	for _, r := range c.Replicas {
		if !r.Current || r.Offline {
			return "", fmt.Errorf("a replica of the stream is behind: %+v", *r)
		}
	}
	return c.Leader, nil
}

func (l *streamLoad) connect(url string) (err error) {
	if l.conn, err = nats.Connect(url, nats.NoReconnect()); err != nil {
		return err
	}
	l.js, err = jetstream.New(l.conn, jetstream.WithPublishAsyncMaxPending(peerPending),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { l.failed.CompareAndSwap(nil, err) }))
	return err
}

func (l *streamLoad) close() {
	if l.conn != nil {
		l.conn.Close()
	}
}

// next is the body of the next message. It is not written to again before it is in the
// buffer of the connection.
func (l *streamLoad) next() []byte {
	binary.LittleEndian.PutUint64(l.body[:], l.number)
	l.number++
	return l.body[:]
}

// publishOneByOne publishes messages and waits until all are answered.
func (l *streamLoad) publishOneByOne(ctx context.Context, messages int) error {
	for range messages {
		if _, err := l.js.PublishAsync(streamTopic, l.next(), jetstream.WithStallWait(streamStall)); err != nil {
			return err
		}
	}
	select {
	case <-l.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err, ok := l.failed.Load().(error); ok {
		return err
	}
	return nil
}

// consume takes messages in batches, acknowledges each, and waits until the servers know.
func (l *streamLoad) consume(ctx context.Context, messages int) error {
	c, err := l.stream.Consumer(ctx, streamGroup)
	if err != nil {
		return err
	}
	all, err := c.Messages(jetstream.PullMaxMessages(peerPulled))
	if err != nil {
		return err
	}
	defer all.Stop()
	defer context.AfterFunc(ctx, all.Stop)()
	idle := time.AfterFunc(streamIdle, all.Stop)
	defer idle.Stop()
	for next := range uint64(messages) {
		m, err := all.Next()
		if err != nil {
			return fmt.Errorf("message %d of %d: %w", next, messages, errors.Join(err, ctx.Err()))
		}
		if next%peerPulled == 0 {
			idle.Reset(streamIdle)
		}
		if number := binary.LittleEndian.Uint64(m.Data()); number != next || len(m.Data()) != peerBody {
			return fmt.Errorf("message %d has come, of %d bytes, and not %d", number, len(m.Data()), next)
		}
		if err := m.Ack(); err != nil {
			return err
		}
	}
	if err := l.conn.Flush(); err != nil {
		return err
	}
	return testbed.Await(ctx, "the servers to have all acknowledgements", func() bool {
		info, err := c.Info(ctx)
		return err == nil && info.NumAckPending == 0 && info.NumPending == 0
	})
}

// spent is what a part of a load took.
type spent struct {
	rate     float64 // messages a second
	all, own float64 // CPU time of a message, of the servers and of this process, in µs
}

// measured measures a part of the load.
func (l *streamLoad) measured(messages int, part func(messages int) error) (s spent, err error) {
	before, own, err := l.cpu()
	if err != nil {
		return s, err
	}
	began := time.Now()
	if err := part(messages); err != nil {
		return s, err
	}
	took := time.Since(began)
	after, ownAfter, err := l.cpu()
	each := func(seconds float64) float64 { return seconds * 1e6 / float64(messages) }
	return spent{float64(messages) / took.Seconds(), each(after - before), each(ownAfter - own)}, err
}

// cpu is the CPU time of the servers and of this process, in seconds.
func (l *streamLoad) cpu() (servers, own float64, err error) {
	for _, s := range l.servers.Servers {
		usage, err := loadgen.UsageOf(s.PID)
		if err != nil {
			return 0, 0, err
		}
		servers += usage.CPU
	}
	usage, err := loadgen.UsageOf(os.Getpid())
	return servers, usage.CPU, err
}

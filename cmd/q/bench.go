package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"qmq/daemon"
	"qmq/loadgen"
)

// benchCommand is q bench.
type benchCommand struct {
	Pub     benchPub     `cmd:"" help:"Publish, without a channel."`
	Sub     benchSub     `cmd:"" help:"Publish a backlog, then measure how it is consumed."`
	Pubsub  benchPubSub  `cmd:"" help:"Publish and consume at the same time."`
	Latency benchLatency `cmd:"" help:"Publish at a fixed rate and measure how long each message takes."`
}

// errUnsound makes the exit code tell that a server lost or altered messages.
var errUnsound = errors.New("messages were lost or altered")

// benchServer is who gets the load and where the result goes.
type benchServer struct {
	TCPAddress  string   `name:"tcp-address" default:"127.0.0.1:4150" help:"TCP address of the daemon, qd or nsqd."`
	HTTPAddress string   `name:"http-address" empty:"yes" default:"127.0.0.1:4151" help:"HTTP address of the daemon; empty: the topic of the run is not deleted, and --topic needs --force."`
	PID         int      `name:"pid" help:"Process of the daemon, whose CPU time and memory are shown. Default: whoever listens on the TCP address on this machine."`
	Compare     string   `placeholder:"ADDRESS" help:"TCP address of another daemon that gets the same load, in turn."`
	CompareHTTP string   `name:"compare-http" placeholder:"ADDRESS" help:"Its HTTP address."`
	Lookupd     []string `name:"lookupd-http-address" sep:"none" placeholder:"ADDRESS" help:"HTTP address of a directory that is to forget the topic of the run. May be repeated. Default: the node's directories, whose HTTP port is taken for the one after their TCP port."`
	Pairs       int      `default:"5" help:"How often each of the two is measured."`
	JSON        bool     `name:"json" help:"Write the result as JSON."`
	Out         string   `placeholder:"FILE" help:"Also write the result as JSON to this file."`
}

// benchAmount is how much is published.
type benchAmount struct {
	Messages    int           `help:"Messages to publish. Default: as many as the duration allows."`
	Duration    time.Duration `default:"10s" help:"How long to publish, when --messages does not end it before; 0: only --messages ends it."`
	Body        int           `default:"200" help:"Bytes of a message, at least 16."`
	Topic       string        `help:"Topic, which must not exist. It is deleted at the end, like the one that is made by default."`
	Force       bool          `help:"Use --topic though it exists: publish into it, and count its other messages as foreign. Channels that are made are deleted."`
	IdleTimeout time.Duration `default:"10s" aliases:"patience" help:"How long nothing may arrive before messages that are missing count as lost."`
}

func (b *benchAmount) load() loadgen.Load {
	return loadgen.Load{
		Topic:       b.Topic,
		Body:        b.Body,
		Measure:     loadgen.Amount{Duration: b.Duration, Messages: b.Messages},
		IdleTimeout: b.IdleTimeout,
		Guest:       true,
		Force:       b.Force,
	}
}

// benchWarmup is what goes before the measurement.
type benchWarmup struct {
	Warmup time.Duration `default:"1s" help:"How long to publish before the measurement, but no more than in it."`
}

func (b *benchWarmup) apply(l *loadgen.Load) {
	l.Warmup = loadgen.Amount{Duration: b.Warmup, Messages: l.Measure.Messages}
	if b.Warmup <= 0 {
		l.Warmup = loadgen.Amount{}
	}
}

// benchPublishers are those who publish.
type benchPublishers struct {
	Publishers int  `default:"1" help:"Connections that publish."`
	Batch      int  `default:"200" help:"Messages of a command: an MPUB; 1: a PUB each."`
	Window     int  `default:"10" help:"Commands unanswered at a time on each connection; 1: wait for each answer. Over HTTP it is 1."`
	HTTP       bool `name:"http" help:"Publish over HTTP, with /pub or the binary /mpub."`
}

func (b *benchPublishers) apply(l *loadgen.Load) {
	l.Publishers, l.Batch, l.Window, l.HTTP = b.Publishers, b.Batch, b.Window, b.HTTP
	if b.HTTP {
		l.Window = 1
	}
}

// benchConsumers are those who consume.
type benchConsumers struct {
	Channels  int `default:"1" help:"Channels, each of which gets all messages."`
	Consumers int `default:"1" help:"Connections of each channel."`
	RDY       int `name:"rdy" default:"2500" help:"RDY count of each consumer."`
}

func (b *benchConsumers) apply(l *loadgen.Load) {
	l.Channels, l.Consumers, l.Ready = b.Channels, b.Consumers, b.RDY
}

// benchPub is q bench pub.
type benchPub struct {
	benchServer
	benchAmount
	benchEncoding
	benchWarmup
	benchPublishers
	Topics int           `default:"1" help:"Topics that get a command each in turn."`
	Defer  time.Duration `help:"Delay of each message (DPUB); needs --batch=1."`
	Rate   float64       `help:"Messages a second; 0: as fast as the server takes them."`
	Verify bool          `default:"true" negatable:"" help:"Consume and check everything after the measurement, unless there are several topics."`
}

// Run publishes.
func (b *benchPub) Run(c console) error {
	l := b.load()
	b.benchEncoding.apply(&l)
	b.benchWarmup.apply(&l)
	b.benchPublishers.apply(&l)
	l.Topics, l.Defer, l.Rate, l.Verify = b.Topics, b.Defer, b.Rate, b.Verify && b.Topics <= 1
	return b.run(c, l)
}

// benchSub is q bench sub.
type benchSub struct {
	benchServer
	benchAmount
	benchEncoding
	benchPublishers
	benchConsumers
}

// Run consumes a backlog.
func (b *benchSub) Run(c console) error {
	l := b.load()
	b.benchEncoding.apply(&l)
	b.benchPublishers.apply(&l)
	b.benchConsumers.apply(&l)
	l.Backlog = true
	return b.run(c, l)
}

// benchPubSub is q bench pubsub.
type benchPubSub struct {
	benchServer
	benchAmount
	benchEncoding
	benchWarmup
	benchPublishers
	benchConsumers
	Defer time.Duration `help:"Delay of each message (DPUB); needs --batch=1."`
	Rate  float64       `help:"Messages a second; 0: as fast as the server takes them."`
}

// Run publishes and consumes.
func (b *benchPubSub) Run(c console) error {
	l := b.load()
	b.benchEncoding.apply(&l)
	b.benchWarmup.apply(&l)
	b.benchPublishers.apply(&l)
	b.benchConsumers.apply(&l)
	l.Defer, l.Rate = b.Defer, b.Rate
	return b.run(c, l)
}

// benchLatency is q bench latency.
type benchLatency struct {
	benchServer
	benchAmount
	benchEncoding
	benchWarmup
	benchConsumers
	Rate       float64       `default:"5000" help:"Messages a second of all publishers. Latency counts from when a message is due."`
	Publishers int           `default:"1" help:"Connections that publish."`
	Window     int           `default:"1000" help:"Commands unanswered at a time on each connection. Over HTTP it is 1."`
	HTTP       bool          `name:"http" help:"Publish over HTTP."`
	Defer      time.Duration `help:"Delay of each message (DPUB); latency counts from its end."`
}

// Run measures latency.
func (b *benchLatency) Run(c console) error {
	if b.Rate <= 0 {
		return errors.New("latency is measured at a fixed rate: --rate must be above 0")
	}
	l := b.load()
	b.benchEncoding.apply(&l)
	publishers := benchPublishers{Publishers: b.Publishers, Batch: 1, Window: b.Window, HTTP: b.HTTP}
	publishers.apply(&l)
	b.benchWarmup.apply(&l)
	b.benchConsumers.apply(&l)
	l.Rate, l.Defer = b.Rate, b.Defer
	// The warm-up, which is as fast as it goes, is as many messages as the rate
	// would have been.
	l.Warmup.Messages = int(b.Rate * b.Warmup.Seconds())
	return b.run(c, l)
}

// report is a result that can be told.
type report interface {
	Sound() bool
	WriteText(io.Writer) error
}

// run does the load and tells the result.
func (b *benchServer) run(c console, l loadgen.Load) error {
	ctx, cancel := interruptible(c)
	defer cancel()
	progress, clear := progressOf(c.err)
	defer clear()
	l.Directories = b.Lookupd
	var once sync.Once
	l.Say = func(text string) { once.Do(func() { clear(); fmt.Fprintln(c.err, "q: "+text) }) }
	target := loadgen.Target{TCP: b.TCPAddress, HTTP: b.HTTPAddress, PID: b.PID}
	if b.Compare != "" {
		other := loadgen.Target{TCP: b.Compare, HTTP: b.CompareHTTP}
		result, err := loadgen.Compare(ctx, target, other, l, b.Pairs, progress)
		clear()
		if len(result.A) == 0 && err != nil {
			return hint(err)
		}
		return errors.Join(err, tell(c.out, result, b.JSON, b.Out))
	}
	result, err := loadgen.Run(ctx, target, l, progress)
	clear()
	if result == nil {
		return hint(err)
	}
	return errors.Join(err, tell(c.out, result, b.JSON, b.Out))
}

// hint tells what to do about a topic that others may use.
func hint(err error) error {
	if errors.Is(err, loadgen.ErrTopicExists) {
		return fmt.Errorf("%w; leave --topic away for one of its own, or use --force", err)
	}
	return err
}

// tell writes a result for people or as JSON, and as JSON to a file if one is
// named.
func tell(out io.Writer, result report, asJSON bool, file string) error {
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file != "" {
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return err
		}
	}
	if asJSON {
		_, err = out.Write(text)
	} else {
		err = result.WriteText(out)
	}
	if err == nil && !result.Sound() {
		err = errUnsound
	}
	return err
}

// interruptible is a context that the first signal ends. A second one, unless
// it comes with the first, ends the process as if nobody waited for it.
func interruptible(c console) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-c.signals:
			cancel()
			time.Sleep(daemon.SameSignal)
			signal.Reset()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// progressOf shows progress in one line of a terminal, and nothing elsewhere.
// Clear removes the line.
func progressOf(w io.Writer) (progress loadgen.Progress, clear func()) {
	if !terminal(w) {
		return nil, func() {}
	}
	const toStart = "\r\x1b[K"
	progress = func(s loadgen.Snapshot) {
		seconds := max(s.Elapsed.Seconds(), 1e-3)
		fmt.Fprintf(w, toStart+"%s %.0f s: published %s (%s/s), delivered %s (%s/s)", s.Phase, s.Elapsed.Seconds(),
			loadgen.Count(float64(s.Published)), loadgen.Count(float64(s.Published)/seconds),
			loadgen.Count(float64(s.Delivered)), loadgen.Count(float64(s.Delivered)/seconds))
	}
	return progress, func() { fmt.Fprint(w, toStart) }
}

// terminal tells whether people look at what is written to w as it is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"qmq/internal/names"
	"qmq/internal/nodeclient"
	"qmq/internal/tcpclient"
)

// subCommand is q sub, or q tail.
type subCommand struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic to show, or TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" complete:"channel" help:"Channel to take messages from. Default: one of its own, which gets what is published from now on and goes with the command. With --from or --until it is made, and stays."`

	printing
	Count  int     `short:"n" placeholder:"N" help:"Stop after so many messages."`
	Grep   string  `placeholder:"REGEX" help:"Show only messages whose body matches."`
	Sample float64 `placeholder:"PERCENT" help:"Show only about so many in a hundred."`

	between

	Ack         string        `enum:"fin,req,none" default:"fin" help:"What becomes of messages: fin (they are finished once they are printed), req (they are given back at the end), none (nothing is said: they are delivered again after their timeout)."`
	Yes         bool          `short:"y" help:"Do not ask before messages of a durable channel are taken."`
	TakeBacklog bool          `help:"Take what waits for a first channel, and subscribe to a topic that is paused or not there."`
	MaxInFlight int           `default:"200" placeholder:"N" help:"Messages under way at a time."`
	Refresh     time.Duration `default:"10s" help:"How often directories are asked for new nodes."`

	reach
}

// Help has the examples and the rule about backlogs.
func (*subCommand) Help() string {
	return `A channel of its own never takes messages away from others: a topic that is paused, or has no other channel, is refused. What waits there is for its first channel; q peek looks at channels without taking anything.

` + examples(
		"what is published from now on", `q sub greetings`,
		"ten messages, with their ids and times", `q sub greetings -n 10 --print=time,id`,
		"errors, as JSON", `q sub logs --grep='"level":"error"' --format=json`,
		"take messages from a durable channel, as a consumer would", `q sub orders billing --yes`,
		"everything that is still there, and what comes", `q sub orders --from=first`,
		"what came within the last hour, and what comes", `q sub orders --from=-1h`,
		"one hour of yesterday, to its end", `q sub orders --from=2026-11-27T12:00:00Z --until=2026-11-27T13:00:00Z`,
		"look at messages of a durable channel and give them back", `q sub orders billing --ack=req -n 5`,
	)
}

// Run shows messages until a signal comes or there were enough.
func (s *subCommand) Run(c console) error {
	if err := s.check(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := s.open()
	if err != nil {
		return err
	}
	defer cl.close()
	show, err := s.show(c)
	if err != nil {
		return err
	}
	durable := !s.given() && s.Channel != "" && !names.IsEphemeral(s.Channel)
	if durable {
		if err := s.mayGiveBack(ctx, cl); err != nil {
			return err
		}
		if err := c.confirm(ctx, s.Yes, s.warning(ctx, cl)); err != nil {
			return err
		}
	}
	channel := s.Channel
	if channel == "" {
		channel = ownChannel()
	}
	if s.given() {
		if err := cl.createBetween(ctx, s.Topic, channel, s.between); err != nil {
			return err
		}
	}
	if s.Until != "" {
		more, done := context.WithCancel(ctx)
		var asking sync.WaitGroup
		asking.Go(func() { cl.untilDone(more, s.Topic, channel, done) })
		defer asking.Wait()
		defer done()
		ctx = more
	}
	w := watch{
		cluster: cl, agent: userAgent(), topics: []string{s.Topic}, channel: channel,
		inFlight: s.MaxInFlight, refresh: s.Refresh, ack: s.Ack,
		tail: s.Channel == "" && !s.TakeBacklog && !s.given(), show: show, log: logTo(c.err),
	}
	if s.Channel == "" && s.Sample >= 1 && s.Sample == float64(int(s.Sample)) {
		w.sampleRate, show.sample = int(s.Sample), 0 // the node sends no more than that
	}
	return w.run(ctx)
}

func (s *subCommand) check() error {
	switch {
	case !names.Valid(s.Topic):
		return noTopic(s.Topic)
	case s.Channel != "" && !names.Valid(s.Channel):
		return fmt.Errorf("channel %q: %s", s.Channel, names.Rule)
	case s.Sample < 0 || s.Sample > 100:
		return errors.New("--sample is a percentage of 0 to 100")
	case s.Count < 0 || s.MaxInFlight < 1:
		return errors.New("--count cannot be negative, and --max-in-flight is 1 at least")
	}
	return s.printing.check()
}

// show is what is done with messages that come.
func (s *subCommand) show(c console) (*shower, error) {
	show := &shower{printer: newPrinter(s.printing, c.out), count: s.Count, sample: s.Sample, channel: s.Channel}
	if s.Grep != "" {
		pattern, err := regexp.Compile(s.Grep)
		if err != nil {
			return nil, fmt.Errorf("--grep: %w", err)
		}
		show.grep = pattern
	}
	return show, nil
}

// mayGiveBack refuses to give messages back where each delivery brings them nearer to the
// dead letters, as far as that can be told.
func (s *subCommand) mayGiveBack(ctx context.Context, cl *cluster) error {
	if s.Ack == "fin" {
		return nil
	}
	nodes, err := cl.httpNodes(ctx, s.Topic)
	if err != nil {
		return nil // only TCP addresses are known, which do not tell
	}
	for _, n := range nodes {
		most, err := cl.nodes.MaxAttempts(ctx, n.HTTP, s.Topic, s.Channel)
		switch {
		case err != nil:
			return fmt.Errorf("%s: whether channel %s has max_attempts cannot be told: %w", n.Name, s.Channel, err)
		case most > 0:
			return fmt.Errorf("channel %s of topic %s has max_attempts %d, and messages that are not finished become dead letters: --ack=%s is refused; q peek %s/%s shows them and counts no attempt",
				s.Channel, s.Topic, most, s.Ack, s.Topic, s.Channel)
		}
	}
	return nil
}

// warning says what taking messages from a durable channel means.
func (s *subCommand) warning(ctx context.Context, cl *cluster) string {
	becomes := map[string]string{
		"fin":  "finished once they are printed: its consumers do not get them",
		"req":  "held until the end and given back, with one more attempt counted",
		"none": "held until they time out, and are delivered again",
	}[s.Ack]
	if s.Ack == "fin" && (s.Grep != "" || s.Sample > 0) {
		becomes += ", nor those that are not shown"
	}
	waiting := ""
	if n, ok := depthOf(ctx, cl, s.Topic, s.Channel); ok {
		waiting = fmt.Sprintf(" (%s now)", plural(n, "message"))
	}
	return fmt.Sprintf("messages of channel %s of topic %s%s are %s", s.Channel, s.Topic, waiting, becomes)
}

// depthOf is how much waits in a channel, where that can be had.
func depthOf(ctx context.Context, cl *cluster, topic, channel string) (depth int64, ok bool) {
	nodes, err := cl.httpNodes(ctx, topic)
	if err != nil {
		return 0, false
	}
	for _, n := range nodes {
		stats, err := cl.nodes.Stats(ctx, n.HTTP, nodeclient.Wanted{Topic: topic, Channel: channel}, new(nodeclient.Decoder))
		if err != nil {
			return 0, false
		}
		for _, t := range stats.Topics {
			for _, c := range t.Channels {
				depth += c.Depth + c.InFlight + c.Deferred
			}
		}
	}
	return depth, true
}

// ownChannel is the name of a channel that nobody else has.
func ownChannel() string {
	var random [6]byte
	rand.Read(random[:])
	return "q-tail-" + hex.EncodeToString(random[:]) + names.EphemeralSuffix
}

// logTo is the log of a command: warnings, one a line.
func logTo(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// shower shows messages and says when it has shown enough.
type shower struct {
	printer *printer
	channel string // as it is printed
	grep    *regexp.Regexp
	sample  float64 // per cent; 0: all
	count   int     // 0: no end
	topic   bool    // print the topic before each body, as nsq_tail does
	shown   int
}

// enough tells whether no more is to be shown.
func (s *shower) enough() bool { return s.count > 0 && s.shown >= s.count }

// take shows a message, unless it is one that is not to be shown.
func (s *shower) take(topic string, m *tcpclient.Message) {
	if s.grep != nil && !s.grep.Match(m.Body) || s.sample > 0 && !drawn(s.sample) {
		return
	}
	s.shown++
	if s.topic {
		s.printer.w.WriteString(topic + " | ")
	}
	s.printer.print(recordOf(m, topic, strings.TrimSpace(s.channel)), m.Body)
}

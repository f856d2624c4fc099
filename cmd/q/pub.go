package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"qmq/internal/names"
	"qmq/internal/tcpclient"
	"qmq/message"
)

// pubCommand is q pub.
type pubCommand struct {
	Topic string   `arg:"" complete:"topic" help:"Topic to publish to; made if it is not there."`
	Body  argument `arg:"" optional:"" help:"The message. Without it, and without --file, each line of the input is one."`

	File      string        `short:"f" placeholder:"FILE" complete:"file" help:"File to publish, line by line; - is the input."`
	Whole     bool          `help:"The input is one message."`
	Delimiter string        `default:"\\n" help:"What separates messages of the input; \\n, \\t, \\r, \\0 and several characters are possible."`
	JSONLines bool          `name:"json-lines" help:"Lines are objects as q sub --format=json prints them: body or body_base64, and perhaps defer."`
	Count     int           `placeholder:"N" help:"Publish BODY so many times, or no more than so many messages of the input."`
	Rate      float64       `placeholder:"N" help:"Messages a second at most."`
	Defer     time.Duration `placeholder:"DURATION" help:"Deliver each message after this time."`
	Header    []string      `placeholder:"KEY=VALUE" sep:"none" help:"Header of each message; may be given several times."`
	Key       string        `placeholder:"KEY" help:"What each message is about: channels may keep those of one key in their order."`
	Priority  int           `placeholder:"N" help:"0 to 9: channels may deliver what is higher first."`
	DedupID   string        `name:"dedup-id" placeholder:"ID" help:"What doubles of the one message are known by."`
	Batch     int           `default:"1000" help:"Messages of one command at most. What has come is not kept waiting for more."`
	To        string        `enum:"round-robin,all" default:"round-robin" help:"Where there are several nodes: round-robin (each message goes to one of them, to another one if it fails) or all (each message goes to every node)."`
	JSON      bool          `name:"json" help:"Say in JSON what was OK'd."`
	Quiet     bool          `short:"q" help:"Do not say what was OK'd on a terminal."`

	reach

	described []byte // what the flags say of each message, as encoded headers
}

// argument is an argument as it was given, byte by byte: kong makes text of
// others.
type argument struct {
	text  string
	given bool
}

// Decode takes the argument over.
func (a *argument) Decode(ctx *kong.DecodeContext) error {
	a.given = true
	a.text = ctx.Scan.Pop().String()
	return nil
}

// Help has the examples.
func (*pubCommand) Help() string {
	return examples(
		"one message", `q pub greetings 'hello'`,
		"each line of a file", `q pub greetings -f lines.txt`,
		"what a program prints, as it comes", `journalctl -f -o cat | q pub logs`,
		"with a key and headers", `q pub orders '{"id": 17}' --key=u-1 --header=content-type=application/json`,
		"delivered in a minute", `q pub greetings 'later' --defer=1m`,
		"100 a second, to the nodes that the directory knows", `q pub orders -f orders.json --rate=100 --lookupd=127.0.0.1:4161`,
		"copy a topic", `q sub orders copy --yes --format=json | q pub orders2 --json-lines`,
	)
}

// most is how many messages go into one command.
func (p *pubCommand) most() int {
	most := max(1, p.Batch)
	if p.Rate > 0 {
		most = min(most, max(1, int(p.Rate/20)))
	}
	return most
}

// Run publishes until the input ends. With a signal it stops reading and waits
// for the answers to what was sent.
func (p *pubCommand) Run(c console) error {
	if !names.Valid(p.Topic) {
		return noTopic(p.Topic)
	}
	if p.Body.given && p.File != "" {
		return errors.New("both BODY and --file: which one?")
	}
	if p.Defer < 0 || p.Rate < 0 || p.Count < 0 {
		return errors.New("--defer, --rate and --count cannot be negative")
	}
	if err := p.describe(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := p.open()
	if err != nil {
		return err
	}
	defer cl.close()
	input, err := p.input(c)
	if err != nil {
		return err
	}
	nodes, err := p.nodes(ctx, cl)
	if err != nil {
		return err
	}
	out := &publisher{topic: p.Topic, all: p.To == "all", rate: p.Rate, start: time.Now()}
	for _, at := range nodes {
		out.producers = append(out.producers, tcpclient.NewProducer(at, cl.tcp(userAgent())))
	}
	defer out.close()
	if err := out.connect(ctx); err != nil {
		return err
	}
	batches, failed := make(chan batch, 4), make(chan error, 1)
	go func() { failed <- p.batches(ctx, input, batches) }()
	err = out.publish(ctx, batches)
	if err == nil && ctx.Err() == nil {
		err = <-failed
	}
	p.say(c, out)
	switch {
	case err != nil:
		return fmt.Errorf("%w; %s", err, out.told())
	case ctx.Err() != nil:
		return &interrupted{out.told()}
	}
	return nil
}

// describe makes headers of what the flags say.
func (p *pubCommand) describe() error {
	add := func(key, value string) error {
		if !message.IsHeaderKey(key) || len(value) > message.MaxHeaderBytes {
			return fmt.Errorf("--header: a key is 1 to %d letters, digits and !#$%%&'*+-.^_`|~, a value at most %d bytes: %.64q", message.MaxHeaderKey, message.MaxHeaderBytes, key)
		}
		p.described = message.AppendHeader(p.described, key, value)
		return nil
	}
	if p.Key != "" {
		p.Header = append([]string{message.HeaderKey + "=" + p.Key}, p.Header...)
	}
	if p.Priority != 0 {
		p.Header = append(p.Header, fmt.Sprintf("%s=%d", message.HeaderPriority, p.Priority))
	}
	if p.DedupID != "" {
		if !p.Whole && !p.Body.given || p.Count > 1 {
			return errors.New("--dedup-id is that of one message: of BODY, or with --whole of the input")
		}
		p.Header = append(p.Header, message.HeaderDedupID+"="+p.DedupID)
	}
	for _, h := range p.Header {
		key, value, ok := strings.Cut(h, "=")
		if !ok {
			return fmt.Errorf("--header=%s: KEY=VALUE is wanted", h)
		}
		if err := add(key, value); err != nil {
			return err
		}
	}
	return new(message.Meta).Describe(p.described)
}

// nodes are those that are published to: those that have the topic, or else all.
func (p *pubCommand) nodes(ctx context.Context, cl *cluster) ([]string, error) {
	nodes, err := cl.tcpNodes(ctx, p.Topic)
	if err == nil && len(nodes) == 0 {
		nodes, err = cl.tcpNodes(ctx, "")
	}
	if err == nil && len(nodes) == 0 {
		err = errors.New("the directories know no node")
	}
	return nodes, err
}

// input is what is published, in pieces.
func (p *pubCommand) input(c console) (pieces, error) {
	delimiter := unescape(p.Delimiter)
	if p.Whole {
		delimiter = nil
	}
	from := c.in
	switch {
	case p.Body.given && p.Body.text == "":
		return nil, errors.New("an empty message cannot be published")
	case p.Body.given:
		return &repeated{[]byte(p.Body.text), max(1, p.Count)}, nil
	case p.File != "" && p.File != "-":
		file, err := os.Open(p.File)
		if err != nil {
			return nil, err
		}
		from = file // closed with the process
	}
	return &splitter{r: bufio.NewReaderSize(from, inputBuffer), delimiter: delimiter}, nil
}

// say tells a terminal, or with --json a program, what was OK'd.
func (p *pubCommand) say(c console, out *publisher) {
	took := time.Since(out.start)
	if p.JSON {
		json.NewEncoder(c.out).Encode(map[string]any{"topic": p.Topic, "messages": out.messages, "bytes": out.bytes, "seconds": took.Seconds(), "nodes": out.perNode()})
		return
	}
	if !p.Quiet && isTerminal(c.out) {
		fmt.Fprintf(c.out, "%s in %s\n", out.told(), took.Round(time.Millisecond))
	}
}

// repeated is a body of the command line, so many times.
type repeated struct {
	text  []byte
	times int
}

func (r *repeated) next() ([]byte, error) {
	if r.times == 0 {
		return nil, io.EOF
	}
	r.times--
	return r.text, nil
}

func (r *repeated) ready() bool { return r.times > 0 }

// interrupted means that a signal ended a command before it was through.
type interrupted struct{ done string }

func (e *interrupted) Error() string { return "interrupted; " + e.done }

// plural counts things.
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if y, ok := strings.CutSuffix(one, "y"); ok {
		return fmt.Sprintf("%d %sies", n, y)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"qmq/client"
	"qmq/internal/names"
)

// replyCommand is q reply.
type replyCommand struct {
	Topic string   `arg:"" complete:"topic" help:"Topic of the requests."`
	Body  argument `arg:"" optional:"" help:"The reply to each request."`

	Echo    bool   `help:"Reply with the request."`
	Command string `placeholder:"COMMAND" help:"Reply with what a command prints, which is run by the shell. Its input is the request; Q_TOPIC, Q_ID and Q_KEY tell of it. If it fails the reply is an error."`

	Channel     string        `default:"reply" complete:"channel" placeholder:"CHANNEL" help:"Channel that those who reply share: each request goes to one of them."`
	Count       int           `short:"n" placeholder:"N" help:"Stop after so many requests."`
	Parallel    int           `default:"1" placeholder:"N" help:"Requests that are replied to at a time."`
	CommandTime time.Duration `name:"command-timeout" default:"30s" placeholder:"DURATION" help:"How long a command may take."`

	reach
}

// Help has the examples.
func (*replyCommand) Help() string {
	return `A request is finished when the reply is published; one that asks for no reply, or that nobody waits for any more, is finished without one.

` + examples(
		"reply with what was asked", `q reply 'echo#ephemeral' --echo`,
		"reply with what a program makes of it", `q reply 'upper#ephemeral' --command='tr a-z A-Z'`,
		"the same for everybody", `q reply status 'all is well'`,
		"four at a time", `q reply reports --command=./report --parallel=4 --lookupd=127.0.0.1:4161`,
	)
}

// Run replies until a signal comes or there were enough requests.
func (r *replyCommand) Run(c console) error {
	if err := r.check(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	q, err := r.client(ctx, c, false)
	if err != nil {
		return err
	}
	defer q.Close()
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var came atomic.Int64
	o := client.Consumption{Topic: r.Topic, Channel: r.Channel, Handlers: r.Parallel, MaxInFlight: r.Parallel}
	return q.Reply(ctx, o, func(ctx context.Context, d *client.Delivery) (client.Message, error) {
		n := int(came.Add(1))
		if r.Count > 0 && n > r.Count {
			<-ctx.Done() // it is for the next one who replies
			return client.Message{}, client.ErrNotHandled
		}
		if n == r.Count {
			defer enough()
		}
		return r.reply(ctx, d)
	})
}

func (r *replyCommand) check() error {
	ways := 0
	for _, given := range []bool{r.Body.given, r.Echo, r.Command != ""} {
		if given {
			ways++
		}
	}
	switch {
	case !names.Valid(r.Topic):
		return noTopicBeside(r.Topic)
	case !names.Valid(r.Channel):
		return fmt.Errorf("channel %q: %s", r.Channel, names.Rule)
	case ways != 1:
		return errors.New("what to reply with is one of BODY, --echo and --command")
	case r.Count < 0 || r.Parallel < 1 || r.Parallel > 1000:
		return errors.New("--count cannot be negative, and --parallel is 1 to 1000")
	case r.CommandTime <= 0:
		return errors.New("--command-timeout is a time above 0, such as 30s")
	}
	return nil
}

func (r *replyCommand) reply(ctx context.Context, d *client.Delivery) (client.Message, error) {
	switch {
	case r.Body.given:
		return client.Message{Body: []byte(r.Body.text)}, nil
	case r.Echo:
		return client.Message{Body: d.Body}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.CommandTime) // what was begun is replied to
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", r.Command)
	cmd.Stdin = bytes.NewReader(d.Body)
	cmd.Env = append(os.Environ(), "Q_TOPIC="+d.Topic, "Q_ID="+d.ID, "Q_KEY="+strings.ReplaceAll(d.Key(), "\x00", ""))
	cmd.WaitDelay = time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it took longer than %v", r.CommandTime)
		}
		text, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return client.Message{}, fmt.Errorf("the command failed: %w %s", err, text)
	}
	return client.Message{Body: out}, nil
}

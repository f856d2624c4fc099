package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"qmq/internal/nodeclient"
)

// topCommand is q top.
type topCommand struct {
	Topic   string `arg:"" optional:"" type:"topic-and-channel" complete:"topic" help:"Only this topic; or TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" complete:"channel" help:"Only this channel of it."`

	By       string        `enum:"channel,topic,node,client" default:"channel" help:"A line for each: channel, topic, node (topics and channels on each node), client."`
	Sort     string        `default:"depth" placeholder:"COLUMN" help:"Column to sort by: its head, such as depth, in/s or topic. The largest number is first."`
	Filter   string        `placeholder:"TEXT" help:"Only what has a name that holds this."`
	Interval time.Duration `short:"i" default:"2s" help:"How often nodes are asked."`
	JSON     bool          `name:"json" help:"Print one report as JSON, as q stat does."`

	reach
}

// Help has the keys and the examples.
func (*topCommand) Help() string {
	return `On a terminal it goes on until q is pressed. Keys: t, c, n, l show topics, channels, topics and channels by node, or clients; < and > sort by another column, r turns the order round; / filters; Enter looks into what is chosen, Esc goes back; Space stands still; ? explains them all. Elsewhere one table is printed, with rates over the interval.

` + examples(
		"all channels, those with the most messages first", `q top`,
		"what goes through a topic", `q top orders --sort=in/s`,
		"who consumes a channel", `q top orders billing --by=client`,
		"a table for a mail", `q top --sort=depth | head -n 20`,
	)
}

// Run shows figures until somebody quits, or prints them once.
func (t *topCommand) Run(c console) error {
	at, err := t.place()
	if err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := t.open()
	if err != nil {
		return err
	}
	defer cl.close()
	view := newTopView(at)
	if t.JSON || !isTerminal(c.in) || !isTerminal(c.out) || os.Getenv("TERM") == "dumb" {
		return t.once(ctx, c, cl, view)
	}
	screen, err := newScreen()
	if err != nil {
		return fmt.Errorf("the terminal cannot be used: %w", err)
	}
	p := &topScreen{view: view, screen: screen, interval: t.Interval, color: colorful(c.out), ask: cl.snapshot}
	return p.run(ctx)
}

// place is where one begins.
func (t *topCommand) place() (place, error) {
	at := place{by: t.By, topic: t.Topic, channel: t.Channel, filter: t.Filter}
	if t.Interval <= 0 {
		return at, errors.New("--interval must be more than 0")
	}
	var known []string
	for _, column := range columnsOf(t.By, true) {
		if strings.EqualFold(column.head, t.Sort) {
			at.sort = column.head
			return at, nil
		}
		known = append(known, strings.ToLower(column.head))
	}
	if strings.EqualFold(t.Sort, "depth") { // the default, where there is no such column
		return at, nil
	}
	return at, fmt.Errorf("--sort: %q is no column of this table: %s", t.Sort, strings.Join(known, ", "))
}

// once prints one table, with rates.
func (t *topCommand) once(ctx context.Context, c console, cl *cluster, v *topView) error {
	for n := range 2 {
		if n > 0 {
			select {
			case <-time.After(t.Interval):
			case <-ctx.Done():
				return nil
			}
		}
		s, err := cl.snapshot(ctx, v.wanted())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		v.take(s, nil)
	}
	if t.JSON {
		if err := printReport(c.out, v.now.at, v.list); err != nil {
			return err
		}
	} else {
		printFigures(c.out, v.at.by, v.list, true)
	}
	return v.now.failed()
}

// snapshotOf asks for what a view wants.
type snapshotOf func(context.Context, nodeclient.Wanted) (*snapshot, error)

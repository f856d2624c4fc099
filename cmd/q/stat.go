package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"qmq/internal/nodeclient"
)

// statCommand is q stat.
type statCommand struct {
	Topic   string `arg:"" optional:"" type:"topic-and-channel" complete:"topic" help:"Only this topic; or TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" complete:"channel" help:"Only this channel of it."`

	By       string        `enum:"channel,topic,node,client" default:"channel" help:"A line for each: channel, topic, node (topics and channels on each node), client."`
	Interval time.Duration `short:"i" placeholder:"DURATION" help:"Ask again and again, with rates. Default: once."`
	Count    int           `short:"n" placeholder:"N" help:"With --interval: stop after so many reports."`
	JSON     bool          `name:"json" help:"Print JSON, an object a line for each report."`

	reach
}

// Help has the examples.
func (*statCommand) Help() string {
	return "Of a replicated topic only the node that leads it tells figures: ask all members, as --lookupd does. One that is asked alone tells 0 of what others lead.\n\n" + examples(
		"all channels", `q stat`,
		"one topic, every 2 seconds, with rates", `q stat orders -i 2s`,
		"who consumes", `q stat orders billing --by=client`,
		"for a script", `q stat --json | jq '.figures[] | select(.depth > 1000)'`,
	)
}

// Run prints figures.
func (s *statCommand) Run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := s.open()
	if err != nil {
		return err
	}
	defer cl.close()
	var before *snapshot
	for n := 1; ; n++ {
		now, err := cl.snapshot(ctx, nodeclient.Wanted{Topic: s.Topic, Channel: s.Channel, Clients: s.By == "client"})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.report(c, before, now); err != nil {
			return err
		}
		before = now
		if s.Interval <= 0 || s.Count > 0 && n >= s.Count {
			return nil
		}
		select {
		case <-time.After(s.Interval):
		case <-ctx.Done():
			return nil
		}
	}
}

// report prints one report, as a table also of those who answer where others do not; then it
// fails, unless more reports follow. It fails too when what was asked for is not there.
func (s *statCommand) report(c console, before, now *snapshot) error {
	failed := now.failed()
	switch {
	case failed == nil:
	case s.Interval > 0:
		fmt.Fprintln(c.err, "q:", failed)
		failed = nil
	case s.JSON || !now.answered():
		return failed
	}
	figures := now.figures(s.By)
	if missing := now.missing(s.Topic, s.Channel); len(figures) == 0 && missing != nil {
		return errors.Join(missing, failed)
	}
	if before != nil {
		fillRates(before.figures(s.By), figures, now.at.Sub(before.at))
	}
	if s.JSON {
		return printReport(c.out, now.at, figures)
	}
	if before != nil {
		fmt.Fprintln(c.out)
	}
	printFigures(c.out, s.By, figures, s.Interval > 0)
	return failed
}

// printReport prints the figures of a moment as a line of JSON.
func printReport(w io.Writer, at time.Time, figures []*figure) error {
	return printJSON(w, map[string]any{"time": at.UTC().Format(time.RFC3339Nano), "figures": figures})
}

// printFigures prints a table of figures.
func printFigures(w io.Writer, by string, figures []*figure, rates bool) {
	var header []string
	columns := columnsOf(by, rates)
	for _, c := range columns {
		header = append(header, c.head)
	}
	var rows [][]any
	for _, f := range figures {
		row := make([]any, len(columns))
		for i, c := range columns {
			row[i] = c.of(f)
		}
		rows = append(rows, row)
	}
	printTable(w, header, rows)
}

func state(f *figure) string {
	switch {
	case f.Paused:
		return "paused"
	case f.Done:
		return "done"
	case f.Bounded:
		return "bounded"
	}
	return "running"
}

// oneSnapshot asks once, and fails when somebody does not answer.
func (c *cluster) oneSnapshot(ctx context.Context, w nodeclient.Wanted) (*snapshot, error) {
	s, err := c.snapshot(ctx, w)
	if err == nil {
		err = s.failed()
	}
	if err == nil && len(s.nodes) == 0 {
		err = errors.New("no node is known")
		if w.Topic != "" {
			err = fmt.Errorf("no node has topic %s", w.Topic)
		}
	}
	return s, err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"qmq/internal/nodeclient"
)

// nsqStat is nsq_stat.
func nsqStat(f *nsqFlags) func(console) error {
	topic := f.String("topic", "", "topic")
	channel := f.String("channel", "", "channel")
	interval := f.Duration("interval", 2*time.Second, "time between two lines")
	count := f.Int("count", 0, "lines to print (default: no end)")
	nodes := f.list("nsqd-http-address", "HTTP address of a node")
	directories := f.list("lookupd-http-address", "HTTP address of a directory")
	connect := f.Duration("http-client-connect-timeout", 2*time.Second, "timeout for HTTP connect")
	request := f.Duration("http-client-request-timeout", 5*time.Second, "timeout for HTTP request")
	return func(c console) error {
		switch {
		case *topic == "" || *channel == "":
			return errors.New("--topic and --channel are required")
		case *interval <= 0 || *connect <= 0 || *request <= 0:
			return errors.New("--interval and the timeouts should be positive")
		case *count < 0:
			return errors.New("--count should be positive")
		case len(*nodes)+len(*directories) == 0:
			return errors.New("--nsqd-http-address or --lookupd-http-address required")
		case len(*nodes) > 0 && len(*directories) > 0:
			return errors.New("use --nsqd-http-address or --lookupd-http-address not both")
		}
		for _, at := range append(*nodes, *directories...) {
			if strings.HasPrefix(at, "http") {
				return fmt.Errorf("%s: an address should not contain a scheme", at)
			}
		}
		r := reach{HTTPAddr: *nodes, Lookupd: *directories, Timeout: max(*connect, *request)}
		cl, err := r.open()
		if err != nil {
			return err
		}
		defer cl.close()
		return statLines(c, cl, *topic, *channel, *interval, *count)
	}
}

// headEvery is after how many lines the heading is repeated.
const headEvery = 25

// statLines prints lines as nsq_stat does, so many or until a signal comes.
func statLines(c console, cl *cluster, topic, channel string, interval time.Duration, count int) error {
	ctx, stop := c.untilSignal()
	defer stop()
	var before *figure
	for i := 0; count == 0 || i <= count; i++ {
		s, err := cl.oneSnapshot(ctx, nodeclient.Wanted{Topic: topic, Channel: channel})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		found := s.figures("channel")
		if len(found) == 0 {
			return fmt.Errorf("there is no channel %s of topic %s", channel, topic)
		}
		if i%headEvery == 0 {
			statHead(c.out)
		}
		if before != nil {
			statLine(c.out, before, found[0], interval)
		}
		before = found[0]
		if count > 0 && i == count {
			return nil
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func statHead(w io.Writer) {
	fmt.Fprintln(w, "------rate------+----------------depth----------------+--------------metadata---------------")
	fmt.Fprintf(w, "%7s %7s | %7s %7s %7s %5s %5s | %7s %7s %12s %7s\n",
		"ingress", "egress", "total", "mem", "disk", "inflt", "def", "req", "t-o", "msgs", "clients")
}

func statLine(w io.Writer, was, is *figure, interval time.Duration) {
	in := float64(is.Messages-was.Messages) / interval.Seconds()
	out := float64(is.Messages-was.Messages-(is.Depth-was.Depth)) / interval.Seconds()
	fmt.Fprintf(w, "%7d %7d | %7d %7d %7d %5d %5d | %7d %7d %12d %7d\n",
		int64(in), int64(out), is.Depth, is.Depth-is.Disk, is.Disk, is.InFlight, is.Deferred,
		is.Requeued, is.TimedOut, is.Messages, is.Clients)
}

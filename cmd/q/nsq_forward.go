package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nsqio/go-nsq"
)

// balancing are the modes of NSQ's utilities.
var balancing = map[string]bool{"round-robin": true, "hostpool": true, "epsilon-greedy": true}

// nsqToHTTP is nsq_to_http.
func nsqToHTTP(f *nsqFlags) func(console) error {
	s := f.sources()
	var w forwardCommand
	topic := f.String("topic", "", "topic to forward")
	f.StringVar(&w.Channel, "channel", "nsq_to_http", "channel to take messages from")
	f.IntVar(&w.Concurrency, "n", 100, "requests at a time")
	f.StringVar(&w.Mode, "mode", "hostpool", "round-robin, hostpool or epsilon-greedy")
	sample := f.Float64("sample", 1, "share of messages that are forwarded, from 0 to 1")
	f.DurationVar(&w.ConnectTimeout, "http-client-connect-timeout", 2*time.Second, "timeout for HTTP connect")
	f.DurationVar(&w.RequestTimeout, "http-client-request-timeout", 20*time.Second, "timeout for HTTP request")
	f.Int("status-every", 250, "has no effect")
	f.StringVar(&w.ContentType, "content-type", "application/octet-stream", "Content-Type of POST requests")
	post := f.list("post", "URL that gets messages as bodies of POST requests")
	get := f.list("get", "URL that gets messages in the place of %s")
	headers := f.list("header", "header of requests, as 'Name: value'")
	return func(c console) (err error) {
		switch {
		case *topic == "" || w.Channel == "":
			return errors.New("--topic and --channel are required")
		case len(*get)+len(*post) == 0:
			return errors.New("--get or --post required")
		case len(*get) > 0 && len(*post) > 0:
			return errors.New("use --get or --post not both")
		case *sample < 0 || *sample > 1:
			return errors.New("--sample must be between 0.0 and 1.0")
		}
		w.OnStatus = map[string]string{}
		for _, at := range *get {
			if strings.Count(at, "%s") != 1 {
				return errors.New("invalid GET address - it must have %s once")
			}
			w.Method = http.MethodGet
			w.OnStatus = map[string]string{"2xx": "requeue", "200": "finish"}
		}
		if w.Header, err = headersOf(*headers); err != nil {
			return err
		}
		w.Topics, w.ToHTTP = []string{*topic}, append(*post, *get...)
		if *sample < 1 {
			w.Sample = max(*sample*100, 1e-9) // 0 would be all
		}
		return w.asUtility(c, s)
	}
}

// headersOf are headers as the utility takes them.
func headersOf(lines []string) (map[string]string, error) {
	headers := make(map[string]string)
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("--header %q must be 'Name: value'", line)
		}
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return headers, nil
}

// nsqToNSQ is nsq_to_nsq.
func nsqToNSQ(f *nsqFlags) func(console) error {
	s := f.sources()
	w := forwardCommand{Concurrency: 1}
	topics := f.list("topic", "topic to forward")
	f.StringVar(&w.Channel, "channel", "nsq_to_nsq", "channel to take messages from")
	f.StringVar(&w.DestinationTopic, "destination-topic", "", "topic to publish to (default: the same name)")
	f.StringVar(&w.Mode, "mode", "hostpool", "round-robin, hostpool or epsilon-greedy")
	f.Int("status-every", 250, "has no effect")
	f.StringVar(&w.RequireField, "require-json-field", "", "forward only JSON messages that have this field")
	f.StringVar(&w.RequireValue, "require-json-value", "", "forward only those where it has this value")
	whitelist := f.list("whitelist-json-field", "forward JSON messages with this field only")
	nodes := f.list("destination-nsqd-tcp-address", "TCP address of a node to publish to")
	config := nsq.NewConfig()
	f.Var(&nsq.ConfigFlag{Config: config}, "producer-opt", "option of the producer, as go-nsq names it (may be given multiple times)")
	return func(c console) error {
		switch {
		case len(*topics) == 0:
			return errors.New("--topic required")
		case len(*nodes) == 0:
			return errors.New("--destination-nsqd-tcp-address required")
		}
		w.Topics, w.ToQD, w.Whitelist = *topics, *nodes, *whitelist
		w.toNodes = f.adjust(config)
		return w.asUtility(c, s)
	}
}

// asUtility forwards as NSQ's utilities do: with the delays and the number of
// attempts of their consumer's options.
func (f *forwardCommand) asUtility(c console, s *sources) (err error) {
	if !balancing[f.Mode] {
		return fmt.Errorf("--mode %q is none of round-robin, hostpool, epsilon-greedy", f.Mode)
	}
	if f.reach, err = s.reach(); err != nil {
		return err
	}
	f.Key, f.MaxInFlight, f.Refresh = "body", *s.inFlight, s.refresh()
	f.RequeueDelay, f.MaxDelay, f.nsq, f.most = s.config.DefaultRequeueDelay, s.config.MaxRequeueDelay, true, s.config.MaxAttempts
	return f.Run(c)
}

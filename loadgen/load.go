package loadgen

import (
	"errors"
	"fmt"
	"time"

	"qmq/internal/names"
)

// Amount is how much to publish: it ends with whichever comes first. The zero
// Amount is nothing.
type Amount struct {
	Messages int           `json:"messages,omitempty"`    // 0: not limited
	Duration time.Duration `json:"duration_ns,omitempty"` // 0: not limited
}

// Load is a workload. Its zero values, other than those of the amounts, mean
// the defaults that are told.
type Load struct {
	Topic       string        `json:"topic,omitempty"`    // must be unused, and is left unless the load is a guest; default: a fresh name, and the topic is deleted at the end
	Topics      int           `json:"topics,omitempty"`   // that each publisher's commands go to in turn, without channels; 1
	Publishers  int           `json:"publishers"`         // connections that publish; 1
	Channels    int           `json:"channels"`           // that consume all messages each
	Consumers   int           `json:"consumers"`          // connections of each channel; 1
	Ready       int           `json:"ready"`              // RDY of each consumer; 2,500
	Body        int           `json:"body"`               // bytes of a message; 200
	Batch       int           `json:"batch"`              // messages of a command, which is an MPUB when there are several; 1
	Window      int           `json:"window"`             // commands unanswered at a time, per publisher; 1
	Rate        float64       `json:"rate,omitempty"`     // msg/s of all publishers; 0: as fast as the server takes them
	Defer       time.Duration `json:"defer_ns,omitempty"` // of each message
	HTTP        bool          `json:"http,omitempty"`     // publish by POST over connections that stay open
	Encoding    Encoding      `json:"encoding,omitzero"`  // of all V2 connections
	Backlog     bool          `json:"backlog,omitempty"`  // publish all first and measure only how it is consumed
	Verify      bool          `json:"verify,omitempty"`   // without channels: consume and check everything after the measurement
	Warmup      Amount        `json:"warmup"`             // before the measurement; not used with a backlog
	Measure     Amount        `json:"measure"`            // at least one limit
	IdleTimeout time.Duration `json:"-"`                  // how long nothing may arrive before what is missing counts as lost; 10 s
	Guest       bool          `json:"-"`                  // the server is others' too: see [Run]
	Force       bool          `json:"-"`                  // a guest may use a topic that exists
	// Directories are the HTTP addresses of the node's directories, from which a
	// guest deletes the topics that it made; none: those that the node tells of.
	Directories []string     `json:"-"`
	Say         func(string) `json:"-"` // is told what a guest could not clean up; may be nil
}

// withDefaults fills in what is not said.
func (l Load) withDefaults() Load {
	l.Publishers, l.Consumers = max(1, l.Publishers), max(1, l.Consumers)
	l.Batch, l.Window = max(1, l.Batch), max(1, l.Window)
	if l.Body == 0 {
		l.Body = 200
	}
	if l.Ready == 0 {
		l.Ready = 2500
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = 10 * time.Second
	}
	return l
}

// check reports every mistake.
func (l *Load) check() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("loadgen: "+format, args...))
		}
	}
	wrong(l.Topic != "" && !names.Valid(l.Topic), "topic name %q is not valid", l.Topic)
	wrong(l.Body < MinBody || l.Body > maxBody, "a body of %d bytes is not of %d to %d", l.Body, MinBody, maxBody)
	wrong(l.Batch > maxBatch, "a batch of %d messages is more than %d", l.Batch, maxBatch)
	wrong(l.Channels < 0 || l.Rate < 0 || l.Defer < 0, "channels, rate and defer cannot be negative")
	wrong(l.Topics > maxTopics, "%d topics are more than %d", l.Topics, maxTopics)
	wrong(l.Topics > 1 && (l.Channels > 0 || l.Verify), "several topics are only published to: there is nothing to consume")
	wrong(l.HTTP && l.Encoding != (Encoding{}), "over HTTP bodies are published in clear: there is no encoding")
	wrong(l.HTTP && l.Window > 1, "over HTTP one request is answered before the next: the window is 1")
	wrong(l.Defer > 0 && l.Batch > 1, "a batch cannot be deferred")
	wrong(l.Backlog && l.Channels == 0, "a backlog needs a channel that consumes it")
	wrong(l.Backlog && l.Rate > 0, "a backlog has no rate")
	wrong(l.Measure.Messages <= 0 && l.Measure.Duration <= 0, "neither a number of messages nor a duration is given")
	return errors.Join(append(errs, l.Encoding.check())...)
}

// Bounds that keep a mistyped number from taking all memory.
const (
	maxBody   = 16 << 20
	maxBatch  = 1 << 20
	maxTopics = 1 << 20
)

// commands is the number of commands with which each publisher does its share
// of an amount, rounded up; -1 if only time limits it.
func (l *Load) commands(a Amount) int64 {
	if a.Messages <= 0 {
		return -1
	}
	each := l.Publishers * l.Batch
	return int64((a.Messages + each - 1) / each)
}

// topics are the names of the topics of a load of that name.
func (l *Load) topics(name string) []string {
	if l.Topics <= 1 {
		return []string{name}
	}
	var all []string
	for i := range l.Topics {
		all = append(all, fmt.Sprintf("%s-%d", name, i))
	}
	return all
}

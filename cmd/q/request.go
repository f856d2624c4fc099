package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"qmq/client"
	"qmq/internal/names"
)

// requestCommand is q request.
type requestCommand struct {
	Topic string   `arg:"" complete:"topic" help:"Topic that the request is published to."`
	Body  argument `arg:"" optional:"" help:"The request. Without it the input is."`

	Header []string      `short:"H" placeholder:"KEY=VALUE" sep:"none" help:"Header of the request; may be given several times."`
	Wait   time.Duration `default:"5s" placeholder:"DURATION" help:"How long to wait for the reply."`
	Show   bool          `name:"headers" help:"Print the headers of the reply before it, one a line, and an empty line."`
	Raw    bool          `help:"Print the reply as it is, without a newline behind it."`

	reach
}

// Help has the examples.
func (*requestCommand) Help() string {
	return `The reply comes from whoever replies to the topic (q reply, or a program with the package qmq/client). It is an error if nobody does, if the reply is one, or if none comes in time. Replies come by an ephemeral topic, which this command consumes from all nodes that it knows.

` + examples(
		"ask", `q request 'upper#ephemeral' 'hello'`,
		"ask what takes longer, and see headers", `q request reports '{"month":5}' --wait=1m --headers`,
		"nodes that a directory knows", `q request time now --lookupd=127.0.0.1:4161`,
	)
}

// Run publishes the request and prints the reply.
func (r *requestCommand) Run(c console) error {
	if r.Wait <= 0 {
		return errors.New("--wait is a time above 0, such as 5s")
	}
	m, err := r.message(c)
	if err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	q, err := r.client(ctx, c, true)
	if err != nil {
		return err
	}
	defer q.Close()
	reply, err := q.Request(ctx, r.Topic, m)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no reply within %v (--wait): %w", r.Wait, err)
	case errors.Is(err, client.ErrNoResponders):
		return fmt.Errorf("%w: q reply does; the request waits there until its time is over", err)
	case err != nil:
		return err
	}
	return r.print(c.out, reply)
}

func (r *requestCommand) message(c console) (m client.Message, err error) {
	if !names.Valid(r.Topic) {
		return m, noTopic(r.Topic)
	}
	m.Body = []byte(r.Body.text)
	if !r.Body.given {
		if m.Body, err = io.ReadAll(c.in); err != nil {
			return m, err
		}
	}
	if len(m.Body) == 0 {
		return m, errors.New("an empty request: it must have one byte at least")
	}
	for _, h := range r.Header {
		key, value, ok := strings.Cut(h, "=")
		if !ok {
			return m, fmt.Errorf("--header %q: it is KEY=VALUE", h)
		}
		m.Headers = append(m.Headers, client.Header{Key: key, Value: value})
	}
	return m, nil
}

func (r *requestCommand) print(w io.Writer, d *client.Delivery) error {
	var b strings.Builder
	if r.Show {
		for _, h := range d.Headers {
			fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
		}
		b.WriteByte('\n')
	}
	b.Write(d.Body)
	if !r.Raw && !strings.HasSuffix(b.String(), "\n") {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// client is one of the nodes that the flags name. Where these are no directories and it
// asks something, it is looked where their HTTP is, as far as that can be told.
func (r *reach) client(ctx context.Context, c console, asks bool) (*client.Client, error) {
	cl, err := r.open()
	if err != nil {
		return nil, err
	}
	defer cl.close()
	tcp := cl.tcp(userAgent())
	o := client.Options{
		Directories: r.Lookupd, TLS: tcp.TLS, HTTPTLS: cl.tls, Secret: r.Secret, Snappy: r.Snappy, Deflate: r.Deflate,
		Dial: r.Timeout, Logger: logTo(c.err),
	}
	if len(r.Lookupd) == 0 {
		if o.Nodes, err = cl.tcpNodes(ctx, ""); err != nil {
			return nil, err
		}
		if nodes, err := cl.httpNodes(ctx, ""); err == nil && asks {
			for _, n := range nodes {
				o.HTTP = append(o.HTTP, n.HTTP)
			}
		}
	}
	return client.Open(o)
}

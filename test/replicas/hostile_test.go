package replicas

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"qmq/client"
	"qmq/test/process"
	"qmq/test/wire"
)

// A follower answers headers that lie as a node alone does, and publishes what is good of them.
func TestHostileHeadersAtAFollower(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	follower := s.others(s.leader("orders"))[0]
	var stored []string
	for _, h := range wire.HostileHeaders("orders") {
		c := wire.Connect(t, follower.TCP, wire.Identify(`{"feature_negotiation":true,"headers":true}`))
		if _, answer := c.Frame(); !strings.Contains(answer, `"headers":true`) {
			t.Fatal(answer)
		}
		c.Send(h.Sent)
		for _, want := range h.Answers {
			if _, got, err := c.TryFrame(); err != nil || got != want {
				t.Fatalf("%s: %q, %v; want %q", h.Name, got, err, want)
			}
		}
		if h.Ends {
			c.ExpectEnd()
		} else {
			c.Send(wire.HPub("orders", "good "+h.Name, "a", "1"))
			c.Expect("OK")
			stored = append(append(stored, h.Stored...), "good "+h.Name)
		}
		c.Close()
	}
	s.consume("orders", "work", s.members...).await(stored)
}

// Batches with headers go to a follower and come from one through TLS and compression.
func TestHeadersThroughTLSAndCompressionAtAFollower(t *testing.T) {
	cert, key, config := process.Certificate(t)
	s := startSet(t, "--tls-cert="+cert, "--tls-key="+key)
	s.create("orders", "work")
	members := s.others(s.leader("orders"))
	for i, o := range []client.Options{{Snappy: true}, {Deflate: 6}, {TLS: config}, {TLS: config, Snappy: true}, {TLS: config, Deflate: 1}} {
		pub, sub := o, o
		pub.Nodes, sub.Nodes = []string{members[0].TCP}, []string{members[1].TCP}
		s.passThrough(fmt.Sprint("round ", i), pub, sub)
	}
}

// passThrough publishes batches in one way and consumes them in another.
func (s *set) passThrough(name string, pub, sub client.Options) {
	s.t.Helper()
	p, err := client.Open(pub)
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Close()
	k, err := client.Open(sub)
	if err != nil {
		s.t.Fatal(err)
	}
	defer k.Close()
	const batches, size = 5, 200
	value := strings.Repeat("value \x00\xff", 200)
	for b := range batches {
		var list []client.Message
		for n := range size {
			list = append(list, client.Message{
				Body: []byte(fmt.Sprintf("%s %d %d", name, b, n)), Key: fmt.Sprint("k", n), Priority: n % 10,
				Headers: client.Headers{{Key: "n", Value: fmt.Sprint(n)}, {Key: "pad", Value: value}},
			})
		}
		if err := p.Publish(s.t.Context(), "orders", list...); err != nil {
			s.t.Fatal(err)
		}
	}
	ctx, done := context.WithTimeout(s.t.Context(), process.Timeout)
	defer done()
	var mu sync.Mutex
	came := make(map[string]bool)
	err = k.Consume(ctx, client.Consumption{Topic: "orders", Channel: "work", Handlers: 2, MaxInFlight: 500}, func(_ context.Context, d *client.Delivery) error {
		n := d.Headers.Get("n")
		if !strings.HasPrefix(string(d.Body), name) || !strings.HasSuffix(string(d.Body), " "+n) || d.Key() != "k"+n || d.Headers.Get("pad") != value {
			s.t.Errorf("%s: %q with %.200q", name, d.Body, d.Headers)
		}
		mu.Lock()
		defer mu.Unlock()
		if came[string(d.Body)] = true; len(came) == batches*size {
			done()
		}
		return nil
	})
	if err != nil || len(came) != batches*size {
		s.t.Errorf("%s: %d of %d messages came, %v", name, len(came), batches*size, err)
	}
}

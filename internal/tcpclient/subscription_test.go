package tcpclient

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// attended is a subscription of a consumer over a connection whose other end is
// returned. It is attended to until the end of the test.
func attended(t *testing.T, c *Consumer, ctx context.Context) (s *Subscription, node net.Conn) {
	t.Helper()
	here, node := net.Pipe()
	s = newSubscription(&conn{net: here, from: here, to: here, o: new(Options)})
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.attend(ctx, c.o.Grace, ended)
	}()
	t.Cleanup(func() {
		here.Close()
		close(ended)
		<-done
	})
	c.join(s)
	return s, node
}

// TestANodeThatReadsNothingHoldsUpNobodyElse: what may be in flight is changed, and
// told to the others, while one node does not take what it is sent.
func TestANodeThatReadsNothingHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConsumer(ConsumerOptions{MaxInFlight: 10})
		attended(t, c, t.Context()) // its other end is not read
		_, node := attended(t, c, t.Context())
		c.SetInFlight(0)
		c.SetInFlight(8)
		want := "RDY 5\nRDY 0\nRDY 4\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(node, got); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestAnswersAreSentInTheOrderTheyWereGiven, and RDY among them, whoever sends
// them.
func TestAnswersAreSentInTheOrderTheyWereGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConsumer(ConsumerOptions{MaxInFlight: 1})
		s, node := attended(t, c, t.Context())
		synctest.Wait() // RDY 1 is being written
		c.SetInFlight(2)
		s.Finish(ID([]byte("0123456789abcdef")))
		c.SetInFlight(3)
		go s.Flush()
		want := "RDY 1\nRDY 2\nFIN 0123456789abcdef\nRDY 3\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(node, got); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestANodeThatSaysNothingAtTheEndIsLeft after the time of grace.
func TestANodeThatSaysNothingAtTheEndIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := NewConsumer(ConsumerOptions{MaxInFlight: 1, Grace: time.Minute})
		_, node := attended(t, c, ctx)
		begun := time.Now()
		cancel()
		text, err := io.ReadAll(node)
		if took := time.Since(begun); err != nil || took != time.Minute {
			t.Errorf("it is left after %v, %v", took, err)
		}
		if got := string(text); got != "RDY 1\nCLS\n" && got != "CLS\n" {
			t.Errorf("%q", got)
		}
	})
}

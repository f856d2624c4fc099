package accept

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// script is a listener that does what it is told, one step per Accept. After
// the last step it waits until it is closed.
type script struct {
	net.Listener
	steps  []error // nil: a connection
	taken  []time.Time
	closed chan struct{}
}

func (s *script) Accept() (net.Conn, error) {
	s.taken = append(s.taken, time.Now())
	if len(s.steps) == 0 {
		<-s.closed
		return nil, net.ErrClosed
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	if step != nil {
		return nil, &net.OpError{Op: "accept", Err: step}
	}
	return &net.TCPConn{}, nil
}

func TestPassingErrorsAreWaitedOutAndLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &script{closed: make(chan struct{})}
		for range 12 {
			l.steps = append(l.steps, syscall.EMFILE)
		}
		l.steps = append(l.steps, nil, syscall.ENOBUFS, nil, syscall.EPROTO, nil, syscall.EPERM, nil)
		var log bytes.Buffer
		stop, done, started := make(chan struct{}), make(chan error), 0
		go func() {
			done <- Loop(l, stop, slog.New(slog.NewTextHandler(&log, nil)), func(net.Conn) { started++ })
		}()
		synctest.Wait()
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		close(stop)
		close(l.closed)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if started != 4 {
			t.Errorf("%d connections", started)
		}
		for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 0, 5, 0, 5, 0, 5} {
			if got := l.taken[i+1].Sub(l.taken[i]); got != want*time.Millisecond {
				t.Errorf("wait %d was %s, not %d ms", i, got, want)
			}
		}
		if n := strings.Count(log.String(), "cannot accept connections"); n != 6 { // the last three errors come together
			t.Errorf("%d lines:\n%s", n, &log)
		}
	})
}

func TestStopEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &script{steps: []error{syscall.EMFILE}}
		stop, done := make(chan struct{}), make(chan error)
		go func() { done <- Loop(l, stop, slog.New(slog.DiscardHandler), nil) }()
		synctest.Wait()
		close(stop)
		if err := <-done; err != nil || len(l.taken) != 1 {
			t.Error(err, l.taken)
		}
	})
}

func TestABrokenListenerEndsTheLoop(t *testing.T) {
	l := &script{steps: []error{nil, syscall.EINVAL}}
	err := Loop(l, make(chan struct{}), slog.New(slog.DiscardHandler), func(net.Conn) {})
	if !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
}

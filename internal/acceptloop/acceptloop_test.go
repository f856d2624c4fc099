package acceptloop

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

// TestDescriptorsAreLeftToFiles: while few are left, nobody is taken, and then
// those who waited are.
func TestDescriptorsAreLeftToFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		short := errors.New("few are left")
		l := &script{closed: make(chan struct{}), steps: []error{nil, nil, nil}}
		stop, taken := make(chan struct{}), 0
		p := &patient{Listener: l, stop: stop, log: slog.New(slog.NewTextHandler(&log, nil)), spare: func() error {
			if taken > 0 && time.Since(l.taken[0]) < 10*time.Second {
				return short
			}
			return nil
		}}
		began := time.Now()
		for taken < 3 {
			if _, err := p.Accept(); err != nil {
				t.Fatal(err)
			}
			taken++
			if taken == 2 && time.Since(began) < 10*time.Second {
				t.Error("a connection was taken from the reserve")
			}
		}
		if n := strings.Count(log.String(), "few are left"); n < 5 || n > 11 {
			t.Errorf("%d lines:\n%s", n, &log)
		}
		taken = 1
		l.taken[0] = time.Now()
		done := make(chan error)
		go func() {
			_, err := p.Accept()
			done <- err
		}()
		synctest.Wait()
		close(stop)
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestReserveIsAnEighthWithinBounds(t *testing.T) {
	for limit, want := range map[int64]int64{20: 10, 64: 16, 128: 16, 256: 32, 1024: 128, 4096: 512, 1 << 20: 512} {
		if got := reserve(limit); got != want {
			t.Errorf("of %d: %d, want %d", limit, got, want)
		}
	}
}

func TestAPatientListenerThatIsClosedSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Patient(&closer{script{steps: []error{syscall.EMFILE}, closed: make(chan struct{})}}, slog.New(slog.DiscardHandler))
		done := make(chan error)
		go func() {
			_, err := l.Accept()
			done <- err
		}()
		synctest.Wait()
		l.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		l.Close()
	})
}

// closer is a script that can be closed.
type closer struct{ script }

func (c *closer) Close() error { return nil }

func TestPlacesAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := NewPlaces(2, slog.New(slog.NewTextHandler(&log, nil)))
		conn := &net.TCPConn{}
		for range 2 {
			if !p.Take(conn) {
				t.Error("a free place is refused")
			}
		}
		for range 10 {
			if p.Take(conn) {
				t.Error("there is a third place")
			}
			time.Sleep(300 * time.Millisecond) // of the bubble's clock
		}
		p.Leave()
		if !p.Take(conn) {
			t.Error("a place that was given back is refused")
		}
		if n := strings.Count(log.String(), "too many connections"); n != 3 {
			t.Errorf("%d lines:\n%s", n, &log)
		}
		if none := NewPlaces(0, nil); !none.Take(conn) {
			t.Error("0 is a limit")
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

package lookup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// host is a machine on which a directory runs, or not.
type host struct {
	t   *testing.T
	tcp *TCP

	mu    sync.Mutex // guards what follows
	drops bool       // packets get lost
	dials int
}

// dial is net.Dialer's, as far as this host goes.
func (h *host) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	h.mu.Lock()
	h.dials++
	drops, tcp := h.drops, h.tcp
	h.mu.Unlock()
	switch {
	case drops: // the system sends the next packet after a second, and then after two
		<-ctx.Done()
		return nil, ctx.Err()
	case tcp == nil:
		return nil, errors.New("refused")
	}
	conn, own := net.Pipe()
	tcp.start(own)
	return conn, nil
}

func (h *host) is(tcp *TCP, drops bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tcp, h.drops = tcp, drops
}

// TestRegistrationIsBackWithinASecondOfADirectory tries many moments at which
// it may come back.
func TestRegistrationIsBackWithinASecondOfADirectory(t *testing.T) {
	for name, drops := range map[string]bool{"that refused": false, "whose host dropped packets": true} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(s *scene) {
				h := &host{t: t}
				s.dial = func(ctx context.Context, address string) (net.Conn, error) {
					return s.names.reach(ctx, address, h.dial)
				}
				h.is(s.realDirectoryAt(), false)
				s.Register("t", 1, "")
				s.Start(me, []string{"10.0.0.1:4160"})
				s.want(h.tcp, "t", "[] 1")
				for i := range 100 {
					time.Sleep(time.Second)
					gone := h.tcp
					h.is(nil, drops)
					gone.Close()
					outage := time.Minute + time.Duration(i)*37*time.Millisecond
					if i%2 == 0 { // it is back for a moment in between
						time.Sleep(time.Minute)
						h.is(s.realDirectoryAt(), false)
						gone = h.tcp
						s.until(gone, "t", "[] 1", time.Second)
						h.is(nil, drops)
						gone.Close()
						outage -= time.Minute
					}
					time.Sleep(outage)
					h.is(s.realDirectoryAt(), false)
					if took := s.until(h.tcp, "t", "[] 1", 2*time.Second); took > time.Second {
						t.Fatalf("registered %s after its return", took)
					}
				}
				if perMinute := h.dials / 100; perMinute > 60*3 {
					t.Errorf("%d attempts a minute", perMinute)
				}
			})
		})
	}
}

// TestDirectoryThatStoodStillIsToldAtOnce has one that takes connections but
// answers nothing for a long time, as a process does that is stopped.
func TestDirectoryThatStoodStillIsToldAtOnce(t *testing.T) {
	inScene(t, func(s *scene) {
		thaw := make(chan struct{})
		seen := make(chan string, 100)
		var dials atomic.Int64
		s.dial = func(context.Context, string) (net.Conn, error) {
			dials.Add(1)
			conn, own := net.Pipe()
			go func() {
				c := &caller{t: s.t, Conn: &sluggish{Conn: own, thaw: thaw}}
				c.meet()
				c.obey(seen)
				own.Close()
			}()
			return conn, nil
		}
		s.Register("t", 1, "")
		s.Start(me, []string{"d"})
		time.Sleep(time.Hour)
		if dials.Load() > 3600/int64(maxPause/time.Second)+10 {
			t.Errorf("connected %d times in an hour", dials.Load())
		}
		close(thaw)
		began := time.Now()
		awaitLine(t, seen, "REGISTER t")
		if took := time.Since(began); took > time.Second {
			t.Errorf("told after %s", took)
		}
	})
}

// sluggish is a connection that takes what is sent, and gives it to nobody
// before the thaw.
type sluggish struct {
	net.Conn
	thaw <-chan struct{}
	once sync.Once
	in   io.Reader
}

func (c *sluggish) Read(b []byte) (int, error) {
	c.once.Do(func() {
		r, w := io.Pipe()
		go func() {
			_, err := io.Copy(w, c.Conn)
			w.CloseWithError(errors.Join(err, io.EOF))
		}()
		first := make([]byte, 4096)
		n, _ := io.ReadAtLeast(r, first, 30)
		<-c.thaw
		c.in = io.MultiReader(bytes.NewReader(first[:n]), r)
	})
	return c.in.Read(b)
}

func TestFirstAddressThatTakesTheConnectionWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mine net.Conn
		conn, err := race(t.Context(), func(ctx context.Context, _, address string) (net.Conn, error) {
			switch address {
			case "dead":
				<-ctx.Done()
				return nil, ctx.Err()
			case "refuses":
				return nil, errors.New("refused")
			}
			time.Sleep(100 * time.Millisecond)
			mine, _ = net.Pipe()
			return mine, nil
		}, []string{"dead", "refuses", "good"})
		if err != nil || conn != mine || time.Since(began) != 100*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

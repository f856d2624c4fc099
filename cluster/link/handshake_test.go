package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func secrets(all ...string) func() [][]byte {
	return func() (list [][]byte) {
		for _, s := range all {
			list = append(list, []byte(s))
		}
		return list
	}
}

// Both sides say what is wrong and what to do.
func TestWhoDoesNotBelongIsRefusedWithAReasonOnBothSides(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*Options)
		say  func(*Hello)
		want string
	}{
		{"secret", func(o *Options) { o.Secrets = secrets("another secret altogether") }, nil,
			"have no secret in common: give all members the same --cluster-secret-file"},
		{"no secret", func(o *Options) { o.Secrets = nil }, nil,
			"neither --cluster-secret-file nor --cluster-tls-cert"},
		{"cluster", nil, func(h *Hello) { h.Cluster = 7 },
			"one of them has the data directory or the --cluster-peers of another set"},
		{"list", nil, func(h *Hello) { h.Cluster, h.Peers = 0, []string{"a:1", "b:1", "d:1"} },
			"start all nodes of a new set with the same list"},
		{"level above", nil, func(h *Hello) { h.Active, h.Level = 2, 2 },
			"start it with a newer qd"},
		{"level below", nil, func(h *Hello) { h.Level = 0 },
			"start that one with a newer qd"},
		{"election timeout", nil, func(h *Hello) { h.Election = time.Second },
			"b:1 has --cluster-election-timeout=1s and a:1 has 300ms: give all members the same"},
		{"sync", nil, func(h *Hello) { h.Sync = "kernel" },
			"--replica-sync"},
		{"number", nil, func(h *Hello) { h.Number = 6 },
			"--cluster-number"},
		{"copied directory", nil, func(h *Hello) { h.Member = 'a' },
			"one of the two data directories is a copy; wipe it"},
		{"address", nil, func(h *Hello) { h.Address = "z:1" },
			"give each node its own --cluster-address, as it stands in --cluster-peers"},
		{"line breaks", nil, func(h *Hello) { h.Address = "z\n\x1b[1mroot" },
			`z\n\x1b[1mroot`},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWires()
				a := newNode(t, w, "a:1", nil)
				a.change(func(h *Hello) { h.Cluster, h.Active, h.Number = 5, 1, 5 })
				if test.name == "list" {
					a.change(func(h *Hello) { h.Cluster = 0 })
				}
				b := newNode(t, w, "b:1", test.edit)
				if test.say != nil {
					b.change(test.say)
				}
				a.Start(testPeers)
				b.Start(testPeers)
				waitFor(10 * time.Second)
				a.Close()
				b.Close()
				for _, n := range []*node{a, b} {
					if log := strings.ReplaceAll(n.log.String(), `\\`, `\`); !strings.Contains(log, test.want) {
						t.Errorf("not said:\n%s", log)
					}
				}
				if got := append(a.take(), b.take()...); len(got) > 0 {
					t.Errorf("saw %q", got)
				}
			})
		})
	}
}

func TestClockThatIsTenSecondsOffIsRefused(t *testing.T) {
	own, peer := Hello{Address: "a:1"}, &greeting{Hello: Hello{Address: "b:1"}}
	for _, skew := range []time.Duration{-refuseSkew, refuseSkew} {
		want := "the clocks of b:1 and a:1 differ by 10s: set them, with NTP say, to within 500ms"
		if got := clockRefusal(&own, peer, skew); got != want {
			t.Errorf("%q", got)
		}
	}
	if got := clockRefusal(&own, peer, refuseSkew-1); got != "" {
		t.Errorf("%q", got)
	}
}

// The time that the greeting took is not taken for a difference.
func TestSkewIsAtLeastWhatIsTold(t *testing.T) {
	sent := time.Now()
	came := sent.Add(4 * time.Second)
	for _, test := range []struct{ wall, want time.Duration }{
		{2 * time.Second, 0}, {0, 0}, {4 * time.Second, 0}, {5 * time.Second, time.Second}, {-time.Second, -time.Second},
	} {
		if got := skewOf(sent.Add(test.wall).UnixNano(), sent, came); got != test.want {
			t.Errorf("%s: %s, not %s", test.wall, got, test.want)
		}
	}
}

func TestSecretIsReplacedWithoutAStop(t *testing.T) {
	for _, test := range []struct{ a, b []string }{
		{[]string{"old secret of all", "new secret of all"}, []string{"old secret of all"}},
		{[]string{"new secret of all", "old secret of all"}, []string{"old secret of all"}},
		{[]string{"new secret of all", "old secret of all"}, []string{"old secret of all", "new secret of all"}},
		{[]string{"new secret of all"}, []string{"old secret of all", "new secret of all"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWires()
			a := startNode(t, w, "a:1", func(o *Options) { o.Secrets = secrets(test.a...) })
			b := startNode(t, w, "b:1", func(o *Options) { o.Secrets = secrets(test.b...) })
			waitFor(3 * time.Second)
			a.Send('b', Bulk, testKind, []byte("hello"))
			synctest.Wait()
			wantSeen(t, b, "up a:1", "a: hello")
		})
	}
}

// tamper passes bytes on between two ends, after the change.
func tamper(from, to net.Conn, change func([]byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			to.Close()
			return
		}
		change(buf[:n])
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Who can change bytes on the way, or repeat them, gets nothing handled and the
// connection ends.
func TestFramesThatWereChangedOnTheWayEndTheConnection(t *testing.T) {
	for _, with := range []struct {
		name    string
		secrets func() [][]byte
	}{{"secret", secrets("the secret of the tests")}, {"checksum", nil}} {
		t.Run(with.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWires()
				flip := make(chan struct{})
				edit := func(o *Options) {
					o.Secrets = with.secrets
					direct := o.Dial
					o.Dial = func(ctx context.Context, to string) (net.Conn, error) {
						far, err := direct(ctx, to)
						if err != nil {
							return nil, err
						}
						near, middle := net.Pipe()
						go tamper(far, middle, func([]byte) {})
						go tamper(middle, far, func(b []byte) {
							select {
							case <-flip:
								b[len(b)-20] ^= 1
							default:
							}
						})
						return near, nil
					}
				}
				a := startNode(t, w, "a:1", edit)
				b := startNode(t, w, "b:1", edit)
				waitFor(time.Second)
				b.take()
				close(flip)
				a.Send('b', Bulk, testKind, []byte("a body that is long enough to be hit"))
				synctest.Wait()
				if got := b.take(); len(got) != 1 || !strings.Contains(got[0], errSeal.Error()) {
					t.Errorf("saw %q", got)
				}
			})
		})
	}
}

// What was recorded of one connection is worth nothing on another one.
func TestRecordedHandshakeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		var recorded []byte
		edit := func(o *Options) {
			direct := o.Dial
			o.Dial = func(ctx context.Context, to string) (net.Conn, error) {
				far, err := direct(ctx, to)
				if err != nil {
					return nil, err
				}
				near, middle := net.Pipe()
				go tamper(far, middle, func([]byte) {})
				first := recorded == nil
				go tamper(middle, far, func(b []byte) {
					if first {
						recorded = append(recorded, b...)
					}
				})
				return near, nil
			}
		}
		a := startNode(t, w, "a:1", edit)
		b := startNode(t, w, "b:1", nil)
		waitFor(time.Second)
		a.Close()
		synctest.Wait()
		b.take()
		conn, err := w.dialFrom("a:1")(context.Background(), "b:1")
		if err != nil {
			t.Fatal(err)
		}
		go conn.Write(recorded)
		go io.Copy(io.Discard, conn)
		waitFor(5 * time.Second)
		wantSeen(t, b)
		if !strings.Contains(b.log.String(), "no secret in common") {
			t.Error(b.log.String())
		}
	})
}

// Garbage on the port takes nothing down, and at most a few KiB before anybody is known.
func TestGarbageIsRefused(t *testing.T) {
	long := append([]byte(preamble), 0xff, 0xff, 0xff, 0x7f, kindHello)
	for _, garbage := range []string{"", "G", "GET / HTTP/1.1\r\n\r\n", "  V2PUB", preamble, string(long), preamble + "\x05\x00\x00\x00\x01{}{}1234", strings.Repeat("x", 1<<16)} {
		synctest.Test(t, func(t *testing.T) {
			w := newWires()
			b := startNode(t, w, "b:1", nil)
			conn, err := w.dialFrom("a:1")(context.Background(), "b:1")
			if err != nil {
				t.Fatal(err)
			}
			go conn.Write([]byte(garbage))
			closed := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, conn)
				closed <- err
			}()
			waitFor(handshakeTime + time.Second)
			if err := <-closed; err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
			wantSeen(t, b)
			startNode(t, w, "a:1", nil)
			waitFor(3 * time.Second)
			wantSeen(t, b, "up a:1")
		})
	}
}

// Connections that say nothing leave members their places in time.
// late is a connection of which the n-th write waits until a moment.
type late struct {
	net.Conn
	n     int
	until time.Time
}

func (c *late) Write(b []byte) (int, error) {
	if c.n--; c.n == 0 {
		time.Sleep(time.Until(c.until))
	}
	return c.Conn.Write(b)
}

// A session is complete in the moment at which its time is over: it is let in or not, and the
// next one is.
func TestHandshakeThatEndsWithItsTimeEndsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		b := startNode(t, w, "b:1", nil)
		const tries, proof = 200, 3 // the last write of a side that dials
		dials, began := 0, time.Time{}
		var calm atomic.Bool
		a := startNode(t, w, "a:1", func(o *Options) {
			dial := o.Dial
			o.Dial = func(ctx context.Context, to string) (net.Conn, error) {
				if to != "b:1" || calm.Load() {
					return dial(ctx, to)
				}
				if dials++; dials%2 == 1 {
					began = time.Now()
					return dial(ctx, to)
				}
				time.Sleep(handshakeTime / 2)
				c, err := dial(ctx, to)
				if err != nil {
					return nil, err
				}
				return &late{c, proof, began.Add(handshakeTime)}, nil
			}
		})
		for range tries {
			waitFor(4 * time.Second)
			a.Drop('b', errStopping)
		}
		calm.Store(true)
		waitFor(10 * time.Second)
		if !a.Connected('b') || !b.Connected('a') {
			t.Error("they are not connected")
		}
	})
}

func TestHandshakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		b := startNode(t, w, "b:1", nil)
		var idle []net.Conn
		for range 2 * maxHandshakes {
			conn, err := w.dialFrom("a:1")(context.Background(), "b:1")
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, conn)
		}
		synctest.Wait()
		if n := len(b.places); n != maxHandshakes {
			t.Errorf("%d handshakes", n)
		}
		startNode(t, w, "a:1", nil)
		waitFor(5 * time.Second)
		wantSeen(t, b, "up a:1")
		for _, conn := range idle {
			conn.Close()
		}
	})
}

func TestGreetingSurvivesItsText(t *testing.T) {
	g := greeting{Hello: Hello{Member: 1<<64 - 1, Cluster: 1<<64 - 2, Address: "a:1", Peers: testPeers, Election: time.Second}, Version: Version, Nonce: newNonce()}
	text, err := g.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := parseGreeting(text)
	if err != nil || fmt.Sprint(*back) != fmt.Sprint(g) {
		t.Errorf("%v, %v", back, err)
	}
	g.Version++
	text, _ = g.append(nil)
	if _, err := parseGreeting(text); err == nil || !strings.Contains(err.Error(), "run versions of qd that follow one another") {
		t.Error(err)
	}
}

package lookup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/address"
)

var me = Identity{
	Hostname: "h", BroadcastAddress: "me", TCPPort: 1, HTTPPort: 2, Version: "2.0.0", TopologyZone: "z", TopologyRegion: "r",
}

// pages is a log for tests to read.
type pages struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

// count says how many lines hold a text.
func (p *pages) count(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(p.b.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// scene is an announcer on fake time. Its directories are at the other end of
// pipes.
type scene struct {
	*Announcer
	t     *testing.T
	log   pages
	began time.Time

	mu    sync.Mutex // guards what follows
	dials []time.Duration
	reach func(address string) (net.Conn, error) // what dialling comes to
}

func inScene(t *testing.T, test func(*scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, began: time.Now()}
		s.Announcer = NewAnnouncer(AnnouncerOptions{Logger: slog.New(slog.NewTextHandler(&s.log, nil))})
		s.dial = func(_ context.Context, address string) (net.Conn, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.dials = append(s.dials, time.Since(s.began))
			return s.reach(address)
		}
		defer s.Close()
		test(s)
	})
}

// reaches changes what dialling comes to.
func (s *scene) reaches(f func(address string) (net.Conn, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reach = f
}

// dialled returns when it was dialled since this was called last.
func (s *scene) dialled() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	dials := s.dials
	s.dials = nil
	return dials
}

// realDirectoryAt makes a TCP server of ours.
func (s *scene) realDirectoryAt() *TCP {
	o := Options{Logger: slog.New(slog.DiscardHandler)}
	tcp := NewTCP(NewDB(DBOptions{InactiveTimeout: time.Minute, TombstoneLifetime: time.Hour}), o)
	s.t.Cleanup(func() { tcp.Close() })
	return tcp
}

// realDirectory makes dialling reach a TCP server of ours.
func (s *scene) realDirectory() *TCP {
	tcp := s.realDirectoryAt()
	s.reaches(func(string) (net.Conn, error) {
		conn, own := net.Pipe()
		tcp.start(own)
		return conn, nil
	})
	return tcp
}

// produced says what a topic has in a directory: its channels, and whether
// this node is a producer.
func produced(tcp *TCP, topic string) string {
	answer, ok := tcp.db.lookup(topic, address.Asker{})
	if !ok {
		return "unknown"
	}
	return fmt.Sprint(answer.Channels, len(answer.Producers))
}

// asked are the channels of t elsewhere.
func (s *scene) asked() (map[string]bool, error) {
	names, _, err := s.Elsewhere(s.t.Context(), "t")
	return names, err
}

func (s *scene) want(tcp *TCP, topic, want string) {
	s.t.Helper()
	synctest.Wait()
	if got := produced(tcp, topic); got != want {
		s.t.Errorf("%s has %s, want %s", topic, got, want)
	}
}

func TestDirectoryKnowsWhatIsThere(t *testing.T) {
	inScene(t, func(s *scene) {
		tcp := s.realDirectory()
		s.Register("t", 1, "")
		s.Register("t", 1, "c")
		s.Register("bare", 2, "")
		s.Start(me, []string{"d"})
		s.want(tcp, "t", "[c] 1")
		s.want(tcp, "bare", "[] 1")
		if n := tcp.db.nodes("", address.Asker{}); len(n) != 1 || n[0].Identity != me {
			t.Errorf("it is known as %+v", n)
		}
		s.Register("new", 3, "")
		s.want(tcp, "new", "[] 1")
		s.Register("new", 3, "c")
		s.want(tcp, "new", "[c] 1")
		s.Unregister("t", 1, "")
		s.want(tcp, "t", "[c] 0")
		if took := time.Since(s.began); took != 0 {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTopicMadeAgainIsSeenThoughItsOldSelfHasATombstone(t *testing.T) {
	inScene(t, func(s *scene) {
		tcp := s.realDirectory()
		s.Register("t", 1, "")
		s.Start(me, []string{"d"})
		s.want(tcp, "t", "[] 1")
		tcp.db.tombstone("t", "me:2", address.Asker{})
		s.want(tcp, "t", "[] 0")
		s.Unregister("t", 1, "")
		s.Register("t", 2, "")
		s.want(tcp, "t", "[] 1")
	})
}

func TestEphemeralChurnLeavesNothing(t *testing.T) {
	inScene(t, func(s *scene) {
		tcp := s.realDirectory()
		s.Start(me, []string{"d"})
		s.Register("stays", 1, "")
		for i := range 500 {
			channel := fmt.Sprintf("%d#ephemeral", i)
			s.Register("stays", 1, channel)
			s.Register(channel, uint64(i), "")
			s.Register(channel, uint64(i), "c")
			s.Register(channel, uint64(i), "d#ephemeral")
			if i%7 == 0 {
				synctest.Wait()
			}
			s.Unregister("stays", 1, channel)
			s.Unregister(channel, uint64(i), "")
		}
		s.want(tcp, "stays", "[] 1")
		if topics := tcp.db.topicNames(); len(topics) != 1 {
			t.Errorf("%d topics are left", len(topics))
		}
		if len(s.registrations.changes) > 0 || len(s.registrations.topics) != 1 {
			t.Errorf("%d changes and %d topics are remembered", len(s.registrations.changes), len(s.registrations.topics))
		}
	})
}

func TestDirectoryHearsEvery15Seconds(t *testing.T) {
	inScene(t, func(s *scene) {
		tcp := s.realDirectory() // hides who is not heard of for a minute
		s.Start(me, []string{"d"})
		s.Register("t", 1, "")
		time.Sleep(24 * time.Hour)
		s.want(tcp, "t", "[] 1")
		if n := len(s.dialled()); n != 1 {
			t.Errorf("connected %d times", n)
		}
	})
}

func TestLostConnectionIsReplacedAtOnceAndThenWithGrowingPauses(t *testing.T) {
	inScene(t, func(s *scene) {
		tcp := s.realDirectory()
		s.Register("t", 1, "")
		s.Start(me, []string{"d"})
		s.want(tcp, "t", "[] 1")
		time.Sleep(time.Minute)
		s.dialled()
		port := 10000
		s.reaches(func(string) (net.Conn, error) {
			port++
			return nil, &net.OpError{Op: "dial", Net: "tcp", Source: &net.TCPAddr{Port: port}, Err: errors.New("refused")}
		})
		tcp.Close()
		lost := time.Since(s.began)
		time.Sleep(10 * time.Minute)
		for i := range uint64(100) {
			s.Register("brief", i, "")
			s.Unregister("brief", i, "")
		}
		if len(s.registrations.changes) > 0 {
			t.Errorf("%d changes are kept for a directory that is not there", len(s.registrations.changes))
		}
		last := lost
		for i, at := range s.dialled() {
			longest := min(firstPause<<min(max(0, i-1), 8), absentPause)
			if i == 0 {
				longest = 0
			}
			if pause := at - last; pause > longest || pause < longest/2 {
				t.Errorf("dialled after %s, which is not within %s and %s", pause, longest/2, longest)
			}
			last = at
		}
		if last < lost+9*time.Minute {
			t.Error("it gave up")
		}
		if n := s.log.count("refused"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		tcp = s.realDirectory()
		time.Sleep(absentPause)
		s.want(tcp, "t", "[] 1")
	})
}

func TestNodeWithoutPortsIsNotAnnounced(t *testing.T) {
	for _, id := range []Identity{{BroadcastAddress: "a", TCPPort: 1}, {BroadcastAddress: "a", HTTPPort: 1}} {
		inScene(t, func(s *scene) {
			s.Start(id, []string{"d"})
			s.SetAddresses(nil)
			time.Sleep(time.Minute)
			if n := len(s.dialled()); n != 0 {
				t.Errorf("dialled %d times", n)
			}
			if n := s.log.count("port"); n != 1 {
				t.Errorf("%d lines say so", n)
			}
			if names, err := s.asked(); names != nil || err != nil {
				t.Error(names, err)
			}
		})
	}
}

func TestAddressesChangeWhileItRuns(t *testing.T) {
	inScene(t, func(s *scene) {
		var mu sync.Mutex
		servers := map[string]*TCP{}
		for _, address := range []string{"a", "b", "c"} {
			servers[address] = s.realDirectory()
		}
		s.reaches(func(address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			conn, own := net.Pipe()
			servers[address].start(own)
			return conn, nil
		})
		want := func(a, b, c int) {
			t.Helper()
			synctest.Wait()
			for address, n := range map[string]int{"a": a, "b": b, "c": c} {
				if got := len(servers[address].db.producerList()); got != n {
					t.Errorf("%s knows %d nodes, want %d", address, got, n)
				}
			}
		}
		s.SetAddresses([]string{"c"}) // before the start: nothing to say yet
		want(0, 0, 0)
		s.Start(me, []string{"a", "b", "a"})
		want(1, 1, 0)
		s.SetAddresses([]string{"c", "b"})
		want(0, 1, 1)
		if n := len(s.dialled()); n != 3 {
			t.Errorf("dialled %d times: what stays keeps its connection", n)
		}
		s.SetAddresses(nil)
		want(0, 0, 0)
		s.SetAddresses([]string{"a"})
		want(1, 0, 0)
		s.Close()
		want(0, 0, 0)
		s.SetAddresses([]string{"b"})
		s.Close()
		want(0, 0, 0)
	})
}

func TestQuestionsWaitForTheFirstContactButNotForLong(t *testing.T) {
	ask := func(s *scene, want error, after time.Duration) {
		s.t.Helper()
		began := time.Now()
		names, err := s.asked()
		if took := time.Since(began); len(names) != 0 || !errors.Is(err, want) || took != after {
			s.t.Errorf("%v, %v after %s, want %v after %s", names, err, took, want, after)
		}
	}
	inScene(t, func(s *scene) {
		ask(s, errNotStarted, 0)
		s.reaches(func(string) (net.Conn, error) {
			conn, own := net.Pipe()
			s.t.Cleanup(func() { own.Close() })
			return conn, nil // reads nothing
		})
		s.Start(me, []string{"d"})
		ask(s, errNobodyMet, firstContact)
		time.Sleep(ioTimeout)
		ask(s, errNobodyMet, 0) // it is known by now that it fails
		s.SetAddresses(nil)
		ask(s, nil, 0)
		s.reaches(func(string) (net.Conn, error) {
			conn, own := net.Pipe()
			go (&caller{t: s.t, Conn: own}).meet() // says not where it can be asked
			s.t.Cleanup(func() { own.Close() })
			return conn, nil
		})
		s.SetAddresses([]string{"e"})
		ask(s, nil, 0)
	})
}

func TestRegisteredIsWhoWasToldEverything(t *testing.T) {
	inScene(t, func(s *scene) {
		check := func(what string, with, of int) {
			s.t.Helper()
			synctest.Wait()
			if w, o := s.Registered(); w != with || o != of {
				s.t.Errorf("%s: %d of %d, want %d of %d", what, w, o, with, of)
			}
		}
		check("no directory", 0, 0)
		s.reaches(func(string) (net.Conn, error) { return nil, errors.New("nobody there") })
		s.Start(me, []string{"d"})
		check("one that is not there", 0, 1)
		s.realDirectory()
		<-time.After(2 * time.Second)
		check("one that came", 1, 1)
		s.Close()
		check("closed", 0, 0)
	})
}

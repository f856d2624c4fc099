package lookup

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/protocol"
)

// caller is the other end of a node's connection, as a directory that a test
// plays sees it.
type caller struct {
	net.Conn
	t      *testing.T
	parser protocol.LookupParser
	in     []byte
}

// meet reads the magic and IDENTIFY and answers {}.
func (c *caller) meet() { c.meetAs("{}") }

// meetAs is meet with another answer.
func (c *caller) meetAs(answer string) {
	magic := make([]byte, len(protocol.LookupMagic))
	if _, err := io.ReadFull(c, magic); err != nil || string(magic) != protocol.LookupMagic {
		return // closed meanwhile
	}
	c.parser.MaxBodySize = 1000
	if _, ok := c.next(); ok {
		c.parser.Identified = true
		c.reply(answer)
	}
}

// next reads the next command, as a line; ok is false at the end of the
// connection.
func (c *caller) next() (line string, ok bool) {
	for {
		var cmd protocol.LookupCommand
		n, _, refusal := c.parser.Parse(c.in, &cmd)
		if refusal != nil {
			c.t.Errorf("got %q: %v", c.in, refusal)
			return "", false
		}
		if n > 0 {
			line, _, _ := strings.Cut(string(c.in[:n]), "\n")
			c.in = c.in[n:]
			return line, true
		}
		room := make([]byte, 64<<10) // more than a batch: on a pipe it is written whole before it is answered
		n, err := c.Read(room)
		c.in = append(c.in, room[:n]...)
		if err != nil {
			return "", false
		}
	}
}

func (c *caller) reply(text string) {
	_, _ = c.Write(protocol.AppendLookupReply(nil, text)) // the peer may be gone
}

// obey answers all commands with OK and passes them on until the end.
func (c *caller) obey(seen chan<- string) {
	for {
		line, ok := c.next()
		if !ok {
			return
		}
		c.reply(protocol.LookupOK)
		seen <- line
	}
}

// listening is a directory that a test plays, on a socket.
func listening(t *testing.T, play func(*caller)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var playing sync.WaitGroup
	playing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			playing.Go(func() {
				defer conn.Close()
				play(&caller{t: t, Conn: conn})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		playing.Wait()
	})
	return l.Addr().String()
}

// play makes dialling reach directories that a test plays, by their addresses. Nobody is at
// other addresses.
func (s *scene) play(directories map[string]func(*caller)) {
	s.reaches(func(address string) (net.Conn, error) {
		play, ok := directories[address]
		if !ok {
			return nil, errors.New("nobody is there")
		}
		conn, own := net.Pipe()
		go func() {
			defer own.Close()
			play(&caller{t: s.t, Conn: own})
		}()
		return conn, nil
	})
}

func awaitLine(t *testing.T, seen <-chan string, want string) {
	t.Helper()
	select {
	case got := <-seen:
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	case <-time.After(testTimeout):
		t.Fatalf("no %s", want)
	}
}

// TestBadDirectoriesDelayNoOther has a slow directory, a dead one, one that
// stops reading and one that answers garbage beside a good one.
func TestBadDirectoriesDelayNoOther(t *testing.T) {
	inScene(t, func(s *scene) {
		t := s.t
		seen, slowly, hold := make(chan string, 10000), make(chan string, 10000), make(chan struct{})
		s.play(map[string]func(*caller){
			"good": func(c *caller) { c.meet(); c.obey(seen) },
			"slow": func(c *caller) {
				c.meet()
				line, _ := c.next()
				<-hold
				c.reply(protocol.LookupOK)
				slowly <- line
				c.obey(slowly)
			},
			"mute": func(c *caller) {
				c.meet()
				io.ReadFull(c, make([]byte, 1))
				<-hold
			},
			"garbage": func(c *caller) { c.meet(); io.WriteString(c, strings.Repeat("garbage", 1000)); <-hold },
		})
		s.Start(me, []string{"slow", "dead", "mute", "garbage", "good"})
		began := time.Now()
		s.Register("t", 1, "")
		awaitLine(t, seen, "REGISTER t")
		for i := uint64(1); i < 100; i++ {
			s.Unregister("t", i, "")
			s.Register("t", i+1, "")
			awaitLine(t, seen, "UNREGISTER t")
			awaitLine(t, seen, "REGISTER t")
		}
		s.Register("t", 100, "c")
		awaitLine(t, seen, "REGISTER t c")
		if took := time.Since(began); took >= ioTimeout { // waiting for one of them costs 200 timeouts
			t.Errorf("200 changes took %s", took)
		}
		close(hold)
		// The slow one is told the same in the same order, but for what was over meanwhile.
		for last := ""; last != "REGISTER t c"; {
			line := <-slowly
			if line == last {
				t.Fatalf("told %s twice", line)
			}
			last = line
		}
		s.Close()
	})
}

func TestRestartedDirectoryIsToldEverythingOnOneConnection(t *testing.T) {
	inScene(t, func(s *scene) {
		t := s.t
		conns := make(chan *caller, 10)
		served := make(chan struct{})
		s.play(map[string]func(*caller){"d": func(c *caller) { c.meet(); conns <- c; <-served }})
		for i := range 300 {
			s.Register(fmt.Sprint("t", i), 1, "")
			s.Register(fmt.Sprint("t", i), 1, "c")
		}
		s.Start(me, []string{"d"})
		for range 3 {
			c := <-conns
			var got []string
			for range 300 {
				line, ok := c.next()
				if !ok {
					t.Fatal("disconnected")
				}
				got = append(got, line)
				c.reply(protocol.LookupOK)
			}
			slices.Sort(got)
			if n := len(slices.Compact(got)); n != 300 || got[0] != "REGISTER t0 c" {
				t.Errorf("told %d things, the first %s", n, got[0])
			}
			c.Close()
		}
		close(served)
	})
}

func TestTenThousandTopicsAreKnownSoonAndTakeLittle(t *testing.T) {
	const topics = 10000
	inScene(t, func(s *scene) {
		t := s.t
		before := liveBytes()
		names := make([]string, topics)
		for i := range topics {
			names[i] = fmt.Sprintf("topic%d", i)
			s.Register(names[i], uint64(i), "")
			s.Register(names[i], uint64(i), "channel")
		}
		per := (liveBytes() - before) / topics
		if per > 300 {
			t.Errorf("%d bytes a topic", per)
		}
		seen := make(chan string, 4*topics)
		s.play(map[string]func(*caller){"d": func(c *caller) { c.meet(); c.obey(seen) }})
		began := time.Now()
		s.Start(me, []string{"d"})
		for range topics {
			awaitAny(t, seen)
		}
		for i := range topics {
			s.Register(names[i], uint64(topics+i), "") // ends the one before and its channel
		}
		for range 3 * topics {
			awaitAny(t, seen)
		}
		if took := time.Since(began); took >= ioTimeout {
			t.Errorf("told in %s", took)
		}
		t.Logf("10,000 topics with a channel, %d bytes each, deleted and made again", per)
	})
}

func awaitAny(t *testing.T, seen <-chan string) {
	t.Helper()
	select {
	case <-seen:
	case <-time.After(testTimeout):
		t.Fatal("told nothing")
	}
}

// TestChannelsAreAskedOfAllDirectories: what some of them know is an answer;
// that none could be asked is an error.
func TestChannelsAreAskedOfAllDirectories(t *testing.T) {
	known := func(names string) string {
		return answers(t, map[string]string{"GET /lookup?topic=t": `{"channels":[` + names + `],"producers":[]}`})
	}
	one, two, dead := known(`"a","b"`), known(`"b","c"`), unreachable(t)
	for _, test := range []struct {
		webs   []string // where the directories say that they serve HTTP
		want   string
		warned int
		failed bool
	}{
		{[]string{one, two}, "[a b c]", 0, false},
		{[]string{one, dead}, "[a b]", 1, false},
		{[]string{dead}, "[]", 0, true},
	} {
		untilItIs(t, fmt.Sprint(test.webs, " know ", test.want, ", warned of ", test.warned, ", failed ", test.failed), func() string {
			var log pages
			var addresses []string
			for _, web := range test.webs {
				host, port, _ := net.SplitHostPort(web)
				addresses = append(addresses, listening(t, func(c *caller) {
					c.meetAs(`{"broadcast_address":"` + host + `","http_port":` + port + `}`)
					c.next()
				}))
			}
			a := NewAnnouncer(AnnouncerOptions{Client: newTestClient(t), Logger: slog.New(slog.NewTextHandler(&log, nil))})
			defer a.Close()
			a.Start(me, addresses)
			names, _, err := a.Elsewhere(t.Context(), "t")
			return fmt.Sprint(test.webs, " know ", slices.Sorted(maps.Keys(names)), ", warned of ", log.count("not every lookup directory was asked"), ", failed ", err != nil)
		})
	}
}

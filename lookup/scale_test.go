package lookup

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/protocol"
)

// The size that the benchmarks are about: each topic has 10 producers, but
// "popular" has all of them.
const (
	scaleNodes  = 1000
	scaleTopics = 100_000
	scaleEach   = 1000 // topics of a node
	// changesAtOnce are the changes that each of two nodes makes every 5 ms.
	changesAtOnce = 10
	scaleApart    = scaleTopics / scaleEach // between them
)

// scaled is a directory of a million registrations, filled over sockets.
type scaled struct {
	b    *testing.B
	tcp  string
	http string
}

// BenchmarkAMillionRegistrations measures what it takes to ask a large
// directory while registrations change, over sockets:
//
//	go test ./lookup -run xxx -bench 'AMillion/(lookup|popular)' -benchtime 5000x
//	go test ./lookup -run xxx -bench 'AMillion/(nodes|topics|debug)' -benchtime 10x
func BenchmarkAMillionRegistrations(b *testing.B) {
	db := NewDB(DBOptions{InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour})
	o := Options{BroadcastAddress: "here", TCPPort: 1, HTTPPort: 1, Logger: slog.New(slog.DiscardHandler)}
	tcp, web := NewTCP(db, o), NewHTTP(db, o)
	s := &scaled{b: b}
	var serving sync.WaitGroup
	for serve, address := range map[*func(net.Listener) error]*string{ptr(tcp.Serve): &s.tcp, ptr(web.Serve): &s.http} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		*address = l.Addr().String()
		serving.Go(func() { (*serve)(l) })
	}
	defer serving.Wait()
	defer web.Close(b.Context())
	defer tcp.Close()
	s.fill()
	b.Run("lookup", func(b *testing.B) {
		s.measure(b, func(i int) string { return fmt.Sprintf("/lookup?topic=topic-%06d", i*7919%scaleTopics) })
	})
	b.Run("popular", func(b *testing.B) { s.measure(b, func(int) string { return "/lookup?topic=popular" }) })
	b.Run("nodes", func(b *testing.B) { s.measure(b, func(int) string { return "/nodes" }) })
	b.Run("topics", func(b *testing.B) { s.measure(b, func(int) string { return "/topics" }) })
	b.Run("debug", func(b *testing.B) { s.measure(b, func(int) string { return "/debug" }) })
	b.Run("register", s.change)
}

func ptr[T any](v T) *T { return &v }

// fill connects all nodes and registers everything.
func (s *scaled) fill() {
	start := time.Now()
	before := liveBytes()
	for i := range scaleNodes {
		conn, in := s.connect(i)
		var out []byte
		register := func(topic string) {
			out = protocol.AppendLookupCommand(out, &protocol.LookupCommand{Kind: protocol.LookupRegister, Topic: []byte(topic)})
		}
		register("popular")
		for j := range scaleEach {
			register(fmt.Sprintf("topic-%06d", j*scaleApart+i%scaleApart))
		}
		go conn.Write(out)
		s.okay(in, scaleEach+1)
	}
	s.b.Logf("filled in %s, %d MB of heap", time.Since(start).Round(time.Millisecond), (liveBytes()-before)>>20)
}

// connect is a node that has identified itself, until the end of the benchmark.
func (s *scaled) connect(i int) (net.Conn, *bufio.Reader) {
	conn, err := net.Dial("tcp", s.tcp)
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { conn.Close() })
	in := bufio.NewReader(conn)
	io.WriteString(conn, protocol.LookupMagic+identifyAs(fmt.Sprintf("node-%04d.example.com", i)))
	if _, err := protocol.ReadLookupReply(in, 1000); err != nil {
		s.b.Fatal(err)
	}
	return conn, in
}

func (s *scaled) okay(in *bufio.Reader, count int) {
	for range count {
		if reply, err := protocol.ReadLookupReply(in, 1000); err != nil || string(reply) != "OK" {
			s.b.Fatal(string(reply), err)
		}
	}
}

// change is what a node that creates and deletes topics costs, one command
// after the other.
func (s *scaled) change(b *testing.B) {
	conn, in := s.connect(scaleNodes)
	defer conn.Close()
	for i := range b.N {
		fmt.Fprintf(conn, "REGISTER topic-%06d\nUNREGISTER topic-%06d\n", i%scaleTopics, i%scaleTopics)
		s.okay(in, 2)
	}
}

// measure asks for b.N answers while two nodes change registrations and
// reports how long the slow ones took.
func (s *scaled) measure(b *testing.B, target func(i int) string) {
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changes := make([]int, 2)
	for c := range changes {
		conn, in := s.connect(scaleNodes + 1 + c)
		defer conn.Close()
		changing.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-pace.C:
					for range changesAtOnce / 2 {
						topic := i % scaleTopics
						fmt.Fprintf(conn, "REGISTER topic-%06d a%d#ephemeral\nUNREGISTER topic-%06d\n", topic, i, topic)
						i++
					}
					s.okay(in, changesAtOnce)
					changes[c] += changesAtOnce
				}
			}
		})
	}
	took := make([]time.Duration, 0, b.N)
	size := int64(0)
	for i := range b.N {
		start := time.Now()
		response, err := http.Get("http://" + s.http + target(i))
		if err != nil {
			b.Fatal(err)
		}
		if size, err = io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			b.Fatal(response.Status, err)
		}
		response.Body.Close()
		took = append(took, time.Since(start))
	}
	close(stop)
	changing.Wait()
	slices.Sort(took)
	ms := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))]) / float64(time.Millisecond)
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "max-ms")
	b.ReportMetric(float64(size), "bytes")
	b.ReportMetric(float64(changes[0]+changes[1])/b.Elapsed().Seconds(), "changes/s")
	b.ReportMetric(peakMB(), "peak-MB")
}

// peakMB is the largest resident size of the process, clients included, so
// far; 0 where the system does not say.
func peakMB() (mb float64) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Sscan(text, &mb)
		}
	}
	return mb / 1024
}

package api

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/test/wire"
)

func TestStatsdTellsDifferencesAndLevels(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/channel/create?topic=t&channel=e%23ephemeral", "")
	r.must("POST", "/topic/create?topic=gone%23ephemeral", "")
	r.must("POST", "/mpub?topic=t", "one\nthree")
	s := &Statsd{figures: r.figures, o: StatsdOptions{Prefix: "nsq.n.", ExcludeEphemeral: true}}
	want := func(messages, bytes, depth int) (lines []string) {
		values := strings.NewReplacer("M", fmt.Sprint(messages), "B", fmt.Sprint(bytes), "D", fmt.Sprint(depth))
		for _, line := range []string{
			"message_count:M|c", "message_bytes:B|c", "depth:0|g", "backend_depth:0|g",
			"channel.c.message_count:M|c", "channel.c.depth:D|g", "channel.c.backend_depth:0|g",
			"channel.c.in_flight_count:0|g", "channel.c.deferred_count:0|g",
			"channel.c.requeue_count:0|c", "channel.c.timeout_count:0|c", "channel.c.clients:0|g",
		} {
			lines = append(lines, "nsq.n.topic.t."+values.Replace(line)+"\n")
		}
		return lines
	}
	check := func(want []string) {
		t.Helper()
		if got := s.report(); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	check(want(2, 8, 2))
	r.must("POST", "/pub?topic=t", "x")
	check(want(1, 1, 3))
	check(want(0, 0, 3))
	r.must("POST", "/topic/delete?topic=t", "")
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/mpub?topic=t", "a\nb")
	check(want(2, 2, 2)) // it began anew
}

func TestStatsdTellsLatenciesAndMemory(t *testing.T) {
	r := start(t, func(o *options) { o.percentiles = []float64{0.999, 0.5} })
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	s := &Statsd{figures: r.figures, o: StatsdOptions{MemStats: true}}
	var keys []string
	for _, line := range s.report() {
		key, _, _ := strings.Cut(line, ":")
		keys = append(keys, key)
	}
	for _, want := range []string{"topic.t.e2e_processing_latency_100", "topic.t.channel.c.e2e_processing_latency_50", "mem.heap_objects", "mem.gc_runs"} {
		if !slices.Contains(keys, want) {
			t.Errorf("%s is not among %v", want, keys)
		}
	}
}

func TestPacketsHoldWholeLines(t *testing.T) {
	got := packets([]string{"ab\n", "cd\n", "a long line\n", "e\n"}, 6)
	var texts []string
	for _, p := range got {
		texts = append(texts, string(p))
	}
	if want := []string{"ab\ncd\n", "a long line\n", "e\n"}; !slices.Equal(texts, want) {
		t.Errorf("got %q, want %q", texts, want)
	}
}

func TestStatsdHearsOnceAnInterval(t *testing.T) {
	r := start(t)
	r.must("POST", "/pub?topic=t", "x")
	daemon, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	s := NewStatsd(r.figures, StatsdOptions{Address: daemon.LocalAddr().String(), Prefix: "q.", Interval: 150 * time.Millisecond, PacketSize: 508})
	daemon.SetReadDeadline(time.Now().Add(wire.Timeout))
	packet := make([]byte, 600)
	for _, count := range []string{"1", "0"} {
		n, _, err := daemon.ReadFrom(packet)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(packet[:n]); !strings.HasPrefix(got, "q.topic.t.message_count:"+count+"|c\n") {
			t.Errorf("got %q", got)
		}
	}
	s.Close()
}

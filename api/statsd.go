package api

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"qmq/internal/names"
)

// StatsdOptions say where the figures go and which.
type StatsdOptions struct {
	Address          string // host:port of a statsd daemon (UDP)
	Prefix           string // of each key, with its dot
	Interval         time.Duration
	PacketSize       int  // longest datagram in bytes, unless one line is longer
	MemStats         bool // of the Go heap too
	ExcludeEphemeral bool
	Logger           *slog.Logger
}

// Statsd reports the figures of /stats to a statsd daemon once an interval.
// Its one goroutine sleeps in between.
type Statsd struct {
	figures *Figures
	o       StatsdOptions
	last    statsdCounters // of the last report; of the one goroutine

	stop chan struct{}
	done sync.WaitGroup
}

// NewStatsd starts to report figures.
func NewStatsd(figures *Figures, o StatsdOptions) *Statsd {
	s := &Statsd{figures: figures, o: o, stop: make(chan struct{})}
	s.done.Go(s.run)
	return s
}

// Close ends the reports and waits for that.
func (s *Statsd) Close() {
	close(s.stop)
	s.done.Wait()
}

func (s *Statsd) run() {
	tick := time.NewTicker(s.o.Interval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if err := s.send(packets(s.report(), s.o.PacketSize)); err != nil {
			s.o.Logger.Warn("figures not sent", slog.String("statsd", s.o.Address), slog.Any("error", err))
		}
	}
}

// spared is the end of an interval in which nothing is sent, so that all of a
// report arrives within its interval.
const spared = time.Second

// statsdDialTimeout is how long the name of the daemon may take to be resolved.
const statsdDialTimeout = time.Second

// send sends the packets, evenly spread so that the daemon's buffer does not
// overflow. It returns the first error; the other packets are sent all the
// same.
func (s *Statsd) send(packets [][]byte) (failed error) {
	conn, err := net.DialTimeout("udp", s.o.Address, statsdDialTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	pause := max(0, s.o.Interval-spared) / time.Duration(max(1, len(packets)))
	for i, p := range packets {
		if i > 0 && stopped(s.stop, pause) {
			return failed
		}
		if _, err := conn.Write(p); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

// stopped waits for a while. It returns true when stop is closed meanwhile.
func stopped(stop <-chan struct{}, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-stop:
		return true
	case <-timer.C:
		return false
	}
}

// packets fills datagrams of at most size bytes with whole lines.
func packets(lines []string, size int) (all [][]byte) {
	var p []byte
	for _, line := range lines {
		if len(p) > 0 && len(p)+len(line) > size {
			all = append(all, p)
			p = nil
		}
		p = append(p, line...)
	}
	if len(p) > 0 {
		all = append(all, p)
	}
	return all
}

// statsdCounters are the counters of one report.
type statsdCounters map[statsdCounter]uint64

// statsdCounter tells counters apart, which their keys do not quite: names
// have dots, too.
type statsdCounter struct{ topic, channel, name string }

// statsdReport gathers the lines of one report.
type statsdReport struct {
	prefix    string
	lines     []string
	now, last statsdCounters
}

// statsdLines are those of one topic, channel or the node.
type statsdLines struct {
	*statsdReport
	key            string
	topic, channel string
}

func (f statsdLines) gauge(name string, value int64) {
	f.lines = append(f.lines, fmt.Sprintf("%s%s%s:%d|g\n", f.prefix, f.key, name, value))
}

// count reports how much a counter grew since the last report; one that is
// lower than then began anew.
func (f statsdLines) count(name string, value uint64) {
	counter := statsdCounter{f.topic, f.channel, name}
	f.now[counter] = value
	if before := f.last[counter]; before <= value {
		value -= before
	}
	f.lines = append(f.lines, fmt.Sprintf("%s%s%s:%d|c\n", f.prefix, f.key, name, value))
}

func (f statsdLines) latencies(l Latencies) {
	for _, p := range l.Percentiles {
		f.gauge(fmt.Sprintf("e2e_processing_latency_%.0f", p.Quantile*100), p.Value)
	}
}

// report is what there is to say now, line by line, in nsqd's order.
func (s *Statsd) report() []string {
	r := &statsdReport{prefix: s.o.Prefix, now: make(statsdCounters), last: s.last}
	topics, _ := s.figures.Topics(Filter{})
	for t := range topics {
		if !s.excluded(t.Name) {
			s.reportTopic(r, &t)
		}
	}
	if s.o.MemStats {
		statsdLines{statsdReport: r, key: "mem."}.memory(readMemory())
	}
	s.last = r.now
	return r.lines
}

func (s *Statsd) excluded(name string) bool {
	return s.o.ExcludeEphemeral && names.IsEphemeral(name)
}

func (s *Statsd) reportTopic(r *statsdReport, t *TopicFigures) {
	f := statsdLines{statsdReport: r, key: "topic." + t.Name + ".", topic: t.Name}
	f.count("message_count", t.MessageCount)
	f.count("message_bytes", t.MessageBytes)
	f.gauge("depth", t.Depth)
	f.gauge("backend_depth", t.BackendDepth)
	f.latencies(t.Latency)
	for i := range t.Channels {
		if c := &t.Channels[i]; !s.excluded(c.Name) {
			statsdLines{statsdReport: r, key: f.key + "channel." + c.Name + ".", topic: t.Name, channel: c.Name}.ofChannel(c)
		}
	}
}

func (f statsdLines) ofChannel(c *ChannelFigures) {
	f.count("message_count", c.MessageCount)
	f.gauge("depth", c.Depth)
	f.gauge("backend_depth", c.BackendDepth)
	f.gauge("in_flight_count", int64(c.InFlightCount))
	f.gauge("deferred_count", int64(c.DeferredCount))
	f.count("requeue_count", c.RequeueCount)
	f.count("timeout_count", c.TimeoutCount)
	f.gauge("clients", int64(c.ClientCount))
	f.latencies(c.Latency)
}

func (f statsdLines) memory(m *memoryStats) {
	f.gauge("heap_objects", int64(m.HeapObjects))
	f.gauge("heap_idle_bytes", int64(m.HeapIdleBytes))
	f.gauge("heap_in_use_bytes", int64(m.HeapInUseBytes))
	f.gauge("heap_released_bytes", int64(m.HeapReleasedBytes))
	f.gauge("gc_pause_usec_100", int64(m.GCPauseUsec100))
	f.gauge("gc_pause_usec_99", int64(m.GCPauseUsec99))
	f.gauge("gc_pause_usec_95", int64(m.GCPauseUsec95))
	f.gauge("next_gc_bytes", int64(m.NextGCBytes))
	f.count("gc_runs", m.GCTotalRuns)
}

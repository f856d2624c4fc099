package cluster

import "time"

// How much is kept: a second apart for five minutes, ten seconds apart for an
// hour.
const (
	fineSlots   = 300
	coarseSlots = 360
	coarseStep  = 10 // s
	fineFill    = 15 // s without a poll that are no gap: nodes are asked every ten seconds when nobody looks
	coarseFill  = 2
	sparkSlots  = 60
	sparkStep   = 60 // s
)

// series is one value over the last hour.
type series struct{ fine, coarse ring }

// add notes the value of a second, counted since 1970.
func (s *series) add(b *allowance, second int64, v float32) {
	s.fine.add(b, fineSlots, second, fineFill, v)
	s.coarse.add(b, coarseSlots, second/coarseStep, coarseFill, v)
}

func (s *series) free(b *allowance) {
	s.fine.free(b)
	s.coarse.free(b)
}

// recent is the mean of the last n seconds before now, not after the last
// value: while nodes are silent it stays what it was.
func (s *series) recent(n int) Figure {
	if s.fine.last == 0 {
		return unknown
	}
	return s.fine.mean(fineSlots, s.fine.last, n)
}

// spark is the hour in minutes; nil if nothing is known of it.
func (s *series) spark(second int64) Figures {
	if s.coarse.last == 0 {
		return nil
	}
	const each = sparkStep / coarseStep
	line := make(Figures, sparkSlots)
	end := second / coarseStep
	for i := range line {
		line[i] = s.coarse.mean(coarseSlots, end-int64(sparkSlots-1-i)*each, each)
	}
	return line
}

// minutes is an hour in minutes only, for what there are very many of.
type minutes struct{ ring ring }

func (m *minutes) add(b *allowance, second int64, v float32) {
	m.ring.add(b, sparkSlots, second/sparkStep, 1, v)
}

func (m *minutes) spark(second int64) Figures {
	if m.ring.last == 0 {
		return nil
	}
	return m.ring.read(sparkSlots, second/sparkStep, sparkSlots)
}

// The rows of histories by what they are of. The names are those that the page
// knows.
var (
	clusterRows = []string{"published", "delivered", "depth", "requeued", "timed_out", "in_flight", "deferred"}
	topicRows   = []string{"published", "bytes", "depth", "topic_depth", "size", "in_flight"}
	channelRows = []string{"in", "finished", "delivered", "depth", "in_flight", "deferred", "requeued", "timed_out", "p50", "p95", "p99"}
	counterRows = []string{"counted"}
)

// Indices of rows that the code reads.
const (
	rowPublished = iota // of clusters, nodes and topics
	rowDelivered        // of clusters and nodes
	rowDepth            // of all but channels
	rowRequeued
	rowTimedOut
	rowInFlight
	rowDeferred
)
const (
	channelIn = iota
	channelFinished
	channelDelivered
	channelDepth
	channelInFlight
	channelDeferred
	channelRequeued
	channelTimedOut
)

// history is an hour of something, a series for each of its rows.
type history []series

func newHistory(rows []string) history { return make(history, len(rows)) }

func (h history) add(b *allowance, second int64, values ...float64) {
	for i, v := range values {
		h[i].add(b, second, float32(v))
	}
}

// gap notes that nothing is known of a second.
func (h history) gap(b *allowance, second int64) {
	for i := range h {
		h[i].add(b, second, gap)
	}
}

func (h history) free(b *allowance) {
	for i := range h {
		h[i].free(b)
	}
}

// Span is a stretch of history that may be asked for.
type Span struct {
	step int64 // s
	n    int
}

var Spans = map[string]Span{"5m": {1, fineSlots}, "15m": {coarseStep, 90}, "1h": {coarseStep, coarseSlots}}

// read returns the rows by their names, and the time (s) of the first value.
func (h history) read(names []string, s Span, second int64) (from int64, rows map[string]Figures) {
	rows = make(map[string]Figures, len(names))
	end := second / s.step
	for i, name := range names {
		if s.step == 1 {
			rows[name] = h[i].fine.read(fineSlots, end, s.n)
		} else {
			rows[name] = h[i].coarse.read(coarseSlots, end, s.n)
		}
	}
	return (end - int64(s.n) + 1) * s.step, rows
}

// point is the value of each row now, unknown if there is none of this second.
func (h history) point(names []string, now time.Time) map[string]any {
	p := make(map[string]any, len(names)+1)
	p["at"] = now.UnixMilli()
	for i, name := range names {
		p[name] = Figure(h[i].fine.at(fineSlots, now.Unix()))
	}
	return p
}

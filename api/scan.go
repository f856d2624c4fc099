package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/message"
	"qmq/topic"
)

// What a peek that searches bodies looks at, at most.
const (
	maxScanned      = 20_000 // messages
	maxScannedBytes = 64 << 20
	maxScanTime     = 2 * time.Second
	scanStep        = 1000 // messages at a time
	maxContains     = 256  // bytes
)

// peekWish is which messages are to be shown.
type peekWish struct {
	limit    int
	order    channel.PeekOrder
	from     uint64 // 0: not said
	since    int64  // ns since 1970; 0: not said
	contains []byte
}

// peekParameters reads them; now is in ns since 1970.
func peekParameters(q url.Values, now int64) (*peekWish, error) {
	w := &peekWish{limit: defaultPeeked, contains: []byte(q.Get("contains"))}
	var err error
	if q.Has("limit") {
		if w.limit, err = strconv.Atoi(q.Get("limit")); err != nil || w.limit < 1 || w.limit > maxPeeked {
			return nil, httpapi.Allowed("INVALID_LIMIT", fmt.Sprintf("1 to %d", maxPeeked))
		}
	}
	switch q.Get("order") {
	case "oldest":
		w.order = channel.PeekOldest
	case "newest":
		w.order = channel.PeekNewest
	case "":
	default:
		return nil, httpapi.Allowed("INVALID_ORDER", "oldest or newest")
	}
	if q.Has("from") {
		if w.from, err = strconv.ParseUint(q.Get("from"), 10, 64); err != nil || w.from > message.MaxSeq {
			return nil, httpapi.Allowed("INVALID_FROM", "the number of a message; for a time there is since")
		}
	}
	if q.Has("since") {
		var ok bool
		if w.since, ok = parseSince(q.Get("since"), now); !ok || w.order == channel.PeekNewest || w.from != 0 {
			return nil, httpapi.Allowed("INVALID_SINCE", "a time (RFC 3339), one before now such as -1h30m, or ns since 1970; without from and without order=newest")
		}
	}
	if len(w.contains) > maxContains {
		return nil, httpapi.Allowed("INVALID_CONTAINS", fmt.Sprintf("up to %d bytes", maxContains))
	}
	if w.order == channel.PeekByTurn && (w.from != 0 || w.since != 0 || len(w.contains) > 0) {
		w.order = channel.PeekOldest
	}
	return w, nil
}

// parseSince reads a time, as topic.ParseTime does or in ns since 1970.
func parseSince(text string, now int64) (ns int64, ok bool) {
	if ns, err := strconv.ParseUint(text, 10, 63); err == nil {
		return int64(ns), ns > 0
	}
	return topic.ParseTime(text, now)
}

// sinceAsNumber makes the time at which a peek is to begin the number of a message.
func (h *HTTP) sinceAsNumber(topicName string, w *peekWish) error {
	if w.since == 0 {
		return nil
	}
	l, release, err := h.broker.Look(topicName)
	if err != nil {
		return notFound(err)
	}
	defer release()
	w.from, err = l.Since(w.since)
	return err
}

// scan is a peek under way.
type scan struct {
	*peekWish
	ctx     context.Context
	began   time.Time
	shown   int
	scanned int
	bytes   int64
	next    uint64 // where another one goes on; 0: all was shown
}

// errEnough ends a look at messages.
var errEnough = errors.New("enough")

// wants tells whether a message is to be shown, and errEnough when no more is to be looked
// at: then the message itself was not.
func (s *scan) wants(seq uint64, body []byte) (bool, error) {
	if s.shown == s.limit || len(s.contains) > 0 && (s.scanned == maxScanned || s.bytes >= maxScannedBytes || time.Since(s.began) > maxScanTime) {
		s.next = seq
		return false, errEnough
	}
	s.scanned++
	s.bytes += int64(len(body))
	if !bytes.Contains(body, s.contains) {
		return false, nil
	}
	s.shown++
	return true, s.ctx.Err() // the client may have gone
}

// channel shows messages of a channel.
func (s *scan) channel(c broker.Messages, state channel.PeekState, show func(channel.Peeked, message.View) error) (total int, err error) {
	s.began = time.Now()
	o := channel.PeekOptions{State: state, Order: s.order, From: s.from, Limit: s.limit}
	if o.Order == channel.PeekByTurn {
		return c.Peek(o, show)
	}
	if o.Limit++; len(s.contains) > 0 { // one more says whether there is one
		o.Limit = scanStep
	}
	for {
		last, more := uint64(0), false
		total, err = c.Peek(o, func(m channel.Peeked, v message.View) error {
			last, more = seqOf(m.ID), true
			wanted, err := s.wants(last, v.Body)
			if !wanted || err != nil {
				return err
			}
			return show(m, v)
		})
		switch {
		case errors.Is(err, errEnough):
			return total, nil
		case err != nil || !more:
			return total, err
		case o.Order == channel.PeekOldest:
			o.From = last + 1
		case last == 0:
			return total, nil
		default:
			if o.From = last - 1; o.From == 0 {
				return total, nil
			}
		}
	}
}

func seqOf(id message.ID) uint64 {
	_, seq, _ := id.Split()
	return seq
}

// writeEnd ends the answer.
func (s *scan) writeEnd(w *bufio.Writer) error {
	if s.next != 0 {
		fmt.Fprintf(w, `,"next":%d`, s.next)
	}
	if len(s.contains) > 0 {
		fmt.Fprintf(w, `,"scanned":%d`, s.scanned)
	}
	_, err := w.WriteString("}")
	return err
}

package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
)

// states are messages of a channel by their states.
type states struct {
	broker.Messages
	of map[channel.PeekState][]uint64
}

func (s *states) Peek(o channel.PeekOptions, show func(channel.Peeked, message.View) error) (total int, err error) {
	for i, seq := range s.of[o.State] {
		if i == o.Limit {
			break
		}
		if err := show(channel.Peeked{ID: message.MakeID(1, seq)}, message.View{Seq: seq, Body: []byte("x")}); err != nil {
			return len(s.of[o.State]), err
		}
	}
	return len(s.of[o.State]), nil
}

func TestWhatIsSpentIsMovedBehindWhatWaits(t *testing.T) {
	c := &states{of: map[channel.PeekState][]uint64{channel.PeekReady: {5, 7}, channel.PeekSpent: {2, 5, 4, 9}}}
	for _, tt := range []struct {
		limit int
		until uint64
		want  []uint64
	}{{10, 100, []uint64{5, 7, 2, 4, 9}}, {3, 100, []uint64{5, 7, 2}}, {1, 100, []uint64{5}}, {10, 6, []uint64{5, 2, 4}}} {
		list, total, err := takeToMove(c, tt.limit, tt.until)
		if err != nil || total != 6 || len(list) != len(tt.want) {
			t.Fatalf("limit %d, until %d: %d of %d, %v", tt.limit, tt.until, len(list), total, err)
		}
		for i := range list {
			if got := seqOf(list[i].id); got != tt.want[i] {
				t.Errorf("limit %d, until %d: %d comes at %d, want %d", tt.limit, tt.until, got, i, tt.want[i])
			}
		}
	}
}

// TestMovedMessageKeepsItsTimeAndItsOrigin: it expires when it would have, and as a dead
// letter it can be put back from where it is then.
func TestMovedMessageKeepsItsTimeAndItsOrigin(t *testing.T) {
	r := start(t)
	for _, name := range []string{"t", "dead", "elsewhere"} {
		r.must("POST", "/topic/create?topic="+name, "")
		r.must("POST", "/channel/create?topic="+name+"&channel=c", "")
	}
	r.must("PUT", "/channel/config?topic=t&channel=c", `{"max_attempts": 1, "dead_letter_topic": "dead"}`)
	r.must("POST", "/pub?topic=t", "given up")
	k := r.consume("t", "c", 1)
	k.Send("REQ " + k.Message().ID + " 0\nRDY 0\n")
	r.awaitLetters(1)
	r.must("POST", "/pub?topic=dead&ttl=3600000", "short-lived")
	if got := r.must("POST", "/channel/move?topic=dead&channel=c&to=elsewhere", ""); !strings.Contains(got, `"moved":2,"left":0`) {
		t.Errorf("%s", got)
	}
	l, release, err := r.broker.Look("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var all []string
	_, err = l.Each(0, func(v message.View) error {
		d, is := v.DeadLetter()
		until, expires := v.ExpireAt()
		all = append(all, fmt.Sprintf("%s %v %s %v %v", v.Body, is, d.Topic, expires, until > time.Now().UnixMilli()))
		return nil
	})
	if want := []string{"given up true t false false", "short-lived false  true true"}; err != nil || !slices.Equal(all, want) {
		t.Errorf("%q, %v, want %q", all, err, want)
	}
}

package cluster

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica"
)

// givenAwayAfter is after how long a leader gives leadership away, whose looks are so far
// apart, in turn, while saves take so long, one after the other from the first look on; 0:
// never.
func givenAwayAfter(save time.Duration, apart ...time.Duration) time.Duration {
	const began, over = time.Hour, time.Hour + time.Minute
	var p pulse
	var dog replica.Watchdog
	leads := replica.Status{Role: replica.Leader, Members: &pb.ConfState{Voters: []uint64{1, 2}}, Followers: []replica.Progress{{Member: 2, Active: true}}}
	p.look(began)
	for n, now := 0, began+apart[0]; now < over; n, now = n+1, now+apart[(n+1)%len(apart)] {
		p.look(now)
		own := replica.Disk{Told: now, Oldest: p.had((now-began)%save, now)}
		other := func(uint64) (replica.Disk, bool) { return replica.Disk{Told: now}, true }
		if _, move := dog.Decide(now, own, leads, other); move {
			return now - began
		}
	}
	return 0
}

// A disk that hangs is noticed soon, also by a process that does not get the CPU at once;
// one that is starved of it, or was stopped for a while, does not blame its disk for that.
func TestTheDiskIsBlamedForTheTimeThatTheProcessHad(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		save  time.Duration
		apart []time.Duration
		least time.Duration
		most  time.Duration // 0: never
	}{
		"hangs, on an idle machine":        {save: time.Hour, apart: []time.Duration{50 * ms}, least: 300 * ms, most: 350 * ms},
		"hangs, on a busy machine":         {save: time.Hour, apart: []time.Duration{60 * ms, 110 * ms, 40 * ms, 50 * ms, 130 * ms}, least: 300 * ms, most: 550 * ms},
		"hangs, always late":               {save: time.Hour, apart: []time.Duration{120 * ms}, least: 600 * ms, most: 850 * ms},
		"hangs, late once for long":        {save: time.Hour, apart: []time.Duration{50 * ms, 400 * ms, 50 * ms, 50 * ms, 50 * ms, 50 * ms}, least: 650 * ms, most: 750 * ms},
		"hangs, starved":                   {save: time.Hour, apart: []time.Duration{400 * ms}, least: 2400 * ms, most: 2800 * ms},
		"slow, on an idle machine":         {save: 400 * ms, apart: []time.Duration{50 * ms}, least: 300 * ms, most: 350 * ms},
		"well, starved":                    {save: 800 * ms, apart: []time.Duration{150 * ms}},
		"well, starved much":               {save: 3 * time.Second, apart: []time.Duration{700 * ms}},
		"well, stopped and at work again":  {save: 9100 * ms, apart: []time.Duration{9 * time.Second, 50 * ms, 50 * ms}},
		"well, starved now and then":       {save: 640 * ms, apart: []time.Duration{50 * ms, 540 * ms, 50 * ms}},
		"hangs, was stopped for a moment":  {save: time.Hour, apart: []time.Duration{time.Second, 50 * ms, 50 * ms, 50 * ms, 50 * ms, 50 * ms, 50 * ms}, least: 1250 * ms, most: 1350 * ms},
		"well and fast, on a busy machine": {save: 150 * ms, apart: []time.Duration{60 * ms, 110 * ms, 40 * ms}},
	} {
		if after := givenAwayAfter(c.save, c.apart...); after < c.least || after > c.most {
			t.Errorf("%s: leadership is given away after %v; want %v to %v", name, after, c.least, c.most)
		}
	}
}

// What is late is forgotten after a while, however long the process lives.
func TestLateLooksAreForgotten(t *testing.T) {
	var p pulse
	now := time.Hour
	for range 1000 {
		now += 3 * watchEvery
		p.look(now)
	}
	if most := int(lateKept/(3*watchEvery)) + 1; len(p.late) > most {
		t.Errorf("%d late looks are remembered, not %d", len(p.late), most)
	}
}

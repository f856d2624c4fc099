package topic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// anyState is a channel in whatever state chance has brought it to.
type anyState struct {
	*bench
	disk *crashfs.FS
	r    *rand.Rand

	late int      // of what was sent, how many for later
	sent []string // what the channel has to get after a rewind to the first
	k    *consumer
	held []delivery
}

// step does something to the channel.
func (a *anyState) step(t *testing.T, i int) {
	t.Helper()
	c := a.channel(t, "c")
	switch a.r.IntN(13) {
	case 0, 1, 2, 3:
		a.publish(t, fmt.Sprint("m", i))
	case 4, 5:
		if a.k == nil {
			a.k = subscribe(t, c)
		}
		var ds deliveries
		a.k.Take(&ds, 1+a.r.IntN(8))
		a.held = append(a.held, ds...)
	case 6, 7, 8:
		a.answer()
	case 9:
		a.leave()
	case 10, 11:
		start, end := a.o.Log.Start(), a.o.Log.End()
		noon := time.Unix(0, a.clock().Wall()-a.r.Int64N(int64(time.Minute))).UTC().Format(time.RFC3339Nano)
		a.rewind(t, "c", []string{"first", "last", at(start + a.r.Uint64N(end-start+1)), noon}[a.r.IntN(4)])
	case 12:
		switch a.r.IntN(4) {
		case 0:
			a.leave()
			a.restart(t)
		case 1:
			a.leave()
			a.die(t, a.disk.Kill)
		case 2:
			must(t, a.PauseChannel("c"))
		case 3:
			must(t, a.UnpauseChannel("c"))
		}
	}
	wait(time.Duration(a.r.IntN(3000)) * time.Millisecond)
}

// publish publishes a message of any kind.
func (a *anyState) publish(t *testing.T, body string) {
	t.Helper()
	now := a.clock().Wall()
	m := message.Meta{Timestamp: now, Key: []byte{byte('a' + a.r.IntN(3))}, Priority: uint8(a.r.IntN(10))}
	switch a.r.IntN(6) {
	case 0:
		m.DeliverAt = now/1e6 + 1 + a.r.Int64N(10_000)
		a.late++
	case 1:
		m.OnlyFor = []string{"c", "d"}[a.r.IntN(2)]
	}
	if m.OnlyFor != "d" {
		a.sent = append(a.sent, body)
	}
	batch := new(diskqueue.Batch)
	batch.Add(&m, []byte(body))
	must(t, a.Publish(batch))
}

// answer answers for some of what is held; that of before a rewind fails.
func (a *anyState) answer() {
	for _, d := range a.held[:a.r.IntN(len(a.held)+1)] {
		one := channel.Answer{Op: channel.Finish, ID: d.id}
		if a.r.IntN(3) == 0 {
			one = channel.Answer{Op: channel.Requeue, ID: d.id, Delay: time.Duration(a.r.IntN(5000)) * time.Millisecond}
		}
		a.k.Answer([]channel.Answer{one})
		a.held = a.held[1:]
	}
}

func (a *anyState) leave() {
	if a.k != nil {
		a.k.Close()
	}
	a.k, a.held = nil, nil
}

// TestRewindInAnyState: whatever was in flight, deferred, spent, paused, held back for its
// order or put back for another channel, a rewind to the first brings all that is retained,
// once, and its depth is as much; a rewind to the last leaves what was published for later.
func TestRewindInAnyState(t *testing.T) {
	for _, settings := range []string{
		`{}`, `{"ordered": "key"}`, `{"ordered": "channel"}`, `{"prioritised": true}`, `{"max_in_flight": 3}`,
		`{"ordered": "key", "max_attempts": 2, "after_max_attempts": "stop"}`, `{"ordered": "channel", "max_attempts": 1, "after_max_attempts": "stop"}`,
	} {
		for seed := range uint64(12) {
			inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
				b.configure(t, `{"retention_time": "1000h"}`)
				b.channel(t, "c")
				b.channel(t, "d")
				must(t, b.ConfigureChannel("c", []byte(settings)))
				a := &anyState{bench: b, disk: disk, r: rand.New(rand.NewPCG(seed, 1))}
				for i := range 80 {
					a.step(t, i)
				}
				a.leave()
				must(t, b.UnpauseChannel("c"))
				if r := b.rewind(t, "c", "first"); r.Messages != int64(len(a.sent)) {
					t.Errorf("%s, seed %d: answered %+v, want %d", settings, seed, r, len(a.sent))
				}
				wait(time.Hour)
				if got := drainAll(t, b.channel(t, "c")); !equalSets(got, a.sent) {
					t.Errorf("%s, seed %d: delivered %q, want %q", settings, seed, slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(a.sent)))
				}
				b.rewind(t, "c", "first")
				b.rewind(t, "c", "last")
				if s := b.channel(t, "c").Stats(); s.Depth+int64(s.Deferred+s.InFlight) != int64(a.late) {
					t.Errorf("%s, seed %d: at the end %+v", settings, seed, s)
				}
			})
		}
	}
}

// drainAll is drain of a channel that gives out what is next only when the one before is
// finished.
func drainAll(t *testing.T, c *channel.Channel) (all []string) {
	t.Helper()
	for got := drain(t, c); len(got) > 0; got = drain(t, c) {
		all = append(all, got...)
	}
	return all
}

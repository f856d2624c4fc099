package topic

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// seqOf is the number of a delivered message.
func seqOf(d delivery) uint64 {
	_, seq, _ := d.id.Split()
	return seq
}

func (b *bench) rewind(t testing.TB, name, to string) Replay {
	t.Helper()
	p, err := ParsePosition(to, b.clock().Wall())
	must(t, err)
	r, err := b.Rewind(name, p)
	must(t, err)
	return r
}

func (b *bench) createFrom(t testing.TB, name, from, until string) Replay {
	t.Helper()
	o := Operation{Channel: name, From: from, Until: until, Replay: new(Replay)}
	must(t, o.createFrom(b.Topic))
	return *o.Replay
}

func at(n uint64) string { return strconv.FormatUint(n, 10) }

func TestRewoundChannelDeliversAgainToWhoIsConnected(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		must(t, b.send(numbered("m", 10)...))
		k := subscribe(t, c)
		ds := k.takeAll()
		k.finish(t, ds[:7]...)
		k.requeue(t, 0, ds[7])
		r := b.rewind(t, "c", at(seqOf(ds[4])))
		if r.From != seqOf(ds[4]) || r.Messages != 6 || r.Oldest || r.Retained || r.Timestamp == 0 {
			t.Errorf("answered %+v", r)
		}
		late := []channel.Answer{{Op: channel.Finish, ID: ds[8].id}}
		if k.Answer(late); !errors.Is(late[0].Err, channel.ErrNotInFlight) {
			t.Errorf("a late FIN is answered with %v", late[0].Err)
		}
		if k.closed.Load() {
			t.Error("the consumer is closed")
		}
		var attempts []uint16
		var again deliveries
		k.Take(attemptsSink{&again, &attempts}, 100)
		if got, want := bodies(again), numbered("m", 10)[4:]; !slices.Equal(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
		if slices.Max(attempts) != 1 {
			t.Errorf("attempts %v", attempts)
		}
		must(t, b.send("new"))
		k.finish(t, again...)
		if got := bodies(k.takeAll()); !slices.Equal(got, []string{"new"}) {
			t.Errorf("then %q", got)
		}
		k.Close()
		for range 2 {
			b.restart(t)
			wantWaiting(t, b.channel(t, "c"), "new")
		}
	})
}

// attemptsSink notes the attempts too.
type attemptsSink struct {
	*deliveries
	attempts *[]uint16
}

func (s attemptsSink) Put(m *channel.Message) bool {
	*s.attempts = append(*s.attempts, m.Attempts)
	return s.deliveries.Put(m)
}

func TestWhatIsNotDoneBeforeTheTargetStays(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		must(t, b.send(numbered("m", 8)...))
		must(t, b.sendLater("later", time.Hour))
		must(t, b.send(numbered("n", 4)...))
		k := subscribe(t, c)
		ds := k.takeAll()
		k.requeue(t, time.Minute, ds[0])
		k.finish(t, ds[1:5]...)
		b.rewind(t, "c", at(seqOf(ds[9]))) // behind "later", over what is in flight
		if got, want := bodies(k.takeAll()), []string{"m5", "m6", "m7", "n0", "n1", "n2", "n3"}; !equalSets(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
		k.Close()
		b.restart(t)
		c = b.channel(t, "c")
		wait(time.Minute + time.Second)
		if got := drain(t, c); !slices.Contains(got, "m0") || slices.Contains(got, "later") {
			t.Errorf("after a minute %q", got)
		}
		wait(time.Hour)
		if got := drain(t, c); !slices.Equal(got, []string{"later"}) {
			t.Errorf("after an hour %q", got)
		}
	})
}

func equalSets(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func TestEmptiedAndExpiredStayVoidAfterARewind(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "100h"}`)
		c := b.channel(t, "c")
		other := b.channel(t, "other")
		must(t, b.send(numbered("m", 6)...))
		k := subscribe(t, c)
		ds := k.takeAll()
		k.finish(t, ds[0], ds[2])
		must(t, b.EmptyChannel("c")) // of 1, 3, 4, 5
		k.Close()
		var short batchOfOne
		must(t, b.Publish(short.expiring(b, "short", time.Minute)))
		must(t, b.send("last"))
		drain(t, c)
		wait(time.Hour)
		want := []string{"m0", "m2", "last"}
		for i := range 3 {
			if i == 2 {
				b.cutCheckpoint(t)
			}
			b.rewind(t, "c", "first")
			if got := drain(t, b.channel(t, "c")); !slices.Equal(got, want) {
				t.Errorf("%d: delivered %q, want %q", i, got, want)
			}
			b.restart(t)
		}
		if got := drain(t, b.channel(t, "other")); !slices.Equal(got, []string{"m0", "m1", "m2", "m3", "m4", "m5", "last"}) {
			t.Errorf("the other channel has %q", got)
		}
		_ = other
	})
}

// cutCheckpoint has the journal begin with a checkpoint alone.
func (b *bench) cutCheckpoint(t testing.TB) { b.restart(t); b.restart(t) }

func TestReplayNeedsWhatIsRetained(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1h"}`)
		c := b.channel(t, "c")
		for range 20 {
			must(t, b.send(string(make([]byte, 20<<10))))
		}
		drain(t, c)
		wait(10 * time.Second)
		if r := b.rewind(t, "c", "first"); r.Messages != 20 || !r.Retained || !r.Oldest {
			t.Errorf("answered %+v", r)
		}
		if n := len(drain(t, c)); n != 20 {
			t.Errorf("%d are delivered again", n)
		}
		b.configure(t, `{"retention_time": "0s"}`)
		wait(10 * time.Second)
		r := b.rewind(t, "c", "first")
		if r.Messages == 0 || r.Messages >= 20 || r.Retained || !r.Oldest {
			t.Errorf("answered %+v", r)
		}
		if n := len(drain(t, c)); int64(n) != r.Messages {
			t.Errorf("%d are delivered again, %d were said", n, r.Messages)
		}
		if len(b.told()) > 3 || b.lost > 0 {
			t.Errorf("%d are lost", b.lost)
		}
	}, smallSegments)
}

func TestChannelBeginsWhereItIsAskedTo(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1h"}`)
		c := b.channel(t, "c")
		must(t, b.send(numbered("m", 3)...))
		wait(time.Minute)
		noon := time.Unix(0, b.clock().Wall()).UTC().Format(time.RFC3339Nano)
		must(t, b.send(numbered("n", 3)...))
		must(t, b.sendLater("later", time.Hour))
		drain(t, c)
		wait(time.Minute)
		all := []string{"m0", "m1", "m2", "n0", "n1", "n2"}
		b.createFrom(t, "whole", "first", "")
		b.createFrom(t, "noon", noon, "")
		if r := b.createFrom(t, "end", "last", ""); r.Messages != 0 || r.Oldest {
			t.Errorf("answered %+v", r)
		}
		b.createFrom(t, "e#ephemeral", noon, "")
		for range 2 {
			wantWaiting(t, b.channel(t, "whole"), all...)
			wantWaiting(t, b.channel(t, "noon"), all[3:]...)
			wantWaiting(t, b.channel(t, "end"))
			if c, ok := b.ExistingChannel("e#ephemeral"); ok {
				wantWaiting(t, c, all[3:]...)
			}
			b.restart(t)
		}
		for _, bad := range []string{"", "now", "-1", "99999999999999999999", "2001-02-30T00:00:00Z", "-", "--1h", "-1d", "-1h30", "+1h", "1h", "-9999999h"} {
			if _, err := ParsePosition(bad, b.clock().Wall()); err == nil {
				t.Errorf("%q is a position", bad)
			}
		}
		var position *PositionError
		for _, bad := range []string{at(b.o.Log.End() + 1), time.Now().Add(100 * time.Hour).Format(time.RFC3339), "2263-01-01T00:00:00Z", "9999-12-31T23:59:59Z"} {
			o := Operation{Channel: "x", From: bad}
			err := o.createFrom(b.Topic)
			if !errors.As(err, &position) || !position.Of(bad) || !strings.Contains(err.Error(), "is in the future") && !strings.Contains(err.Error(), "is beyond the end") {
				t.Errorf("%s: %v", bad, err)
			}
		}
		o := Operation{Channel: "c", From: "first"}
		if err := o.createFrom(b.Topic); !errors.Is(err, ErrChannelExists) {
			t.Errorf("an existing one: %v", err)
		}
		wait(time.Hour)
		if got := drain(t, b.channel(t, "noon")); !equalSets(got, append(slices.Clone(all[3:]), "later")) {
			t.Errorf("after an hour %q", got)
		}
	})
}

func TestTimeIsSaidByHowLongAgoItWas(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "24h"}`)
		drain(t, b.channel(t, "c"))
		for _, body := range []string{"a", "b", "c"} {
			must(t, b.send(body))
			wait(time.Hour)
		}
		all := []string{"a", "b", "c"}
		for from, want := range map[string][]string{
			"-1h1m": all[2:], "-90m": all[2:], "-2h1m": all[1:], "-7230.5s": all[1:], "-72h": all, "-2562047h": all, "-0s": nil, "-1ns": nil,
			"1969-12-31T23:59:59Z": all, "0001-01-01T00:00:00Z": all,
		} {
			b.createFrom(t, "x", from, "")
			wantWaiting(t, b.channel(t, "x"), want...)
			must(t, b.DeleteChannel("x"))
		}
		b.createFrom(t, "hour", "-2h30m", "-1h30m")
		wantWaiting(t, b.channel(t, "hour"), "b")
		b.rewind(t, "c", "-2h1m")
		wantWaiting(t, b.channel(t, "c"), "b", "c")
		var position *PositionError
		if err := (&Operation{Channel: "y", From: "-1h", Until: "-2h"}).createFrom(b.Topic); !errors.As(err, &position) || !position.Of("-2h") {
			t.Errorf("it ends before it begins: %v", err)
		}
	})
}

func TestBoundedChannelIsDoneAtItsEnd(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1h"}`)
		must(t, b.send(numbered("m", 6)...))
		drain(t, b.channel(t, "c"))
		start := b.o.Log.Start()
		r := b.createFrom(t, "part", at(start+1), at(start+4))
		if r.Until != start+4 || r.Messages != 3 {
			t.Errorf("answered %+v", r)
		}
		b.createFrom(t, "whole", "first", "last")
		must(t, b.send("new"))
		for range 2 {
			c := b.channel(t, "part")
			if s := c.Stats(); s.Done || s.Until != start+4 || s.Depth != 3 {
				t.Errorf("%+v", s)
			}
			wantWaiting(t, c, "m1", "m2", "m3")
			wantWaiting(t, b.channel(t, "whole"), numbered("m", 6)...)
			b.restart(t)
		}
		if got := drain(t, b.channel(t, "part")); !slices.Equal(got, []string{"m1", "m2", "m3"}) {
			t.Errorf("got %q", got)
		}
		for range 2 {
			must(t, b.send("newer"))
			c := b.channel(t, "part")
			if s := c.Stats(); !s.Done || s.Depth != 0 {
				t.Errorf("%+v", s)
			}
			wantWaiting(t, c)
			b.restart(t)
		}
		b.rewind(t, "part", at(start+3))
		wantWaiting(t, b.channel(t, "part"), "m3")
		p, _ := ParsePosition("last", 0)
		var position *PositionError
		if _, err := b.Rewind("part", p); !errors.As(err, &position) {
			t.Errorf("rewound behind its end: %v", err)
		}
	})
}

func TestBoundedChannelLeavesWhenItIsToAndHasNoConsumers(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		must(t, b.send(numbered("m", 3)...))
		b.channel(t, "c")
		o := Operation{Channel: "part", Until: "last", Leaves: true}
		must(t, o.createFrom(b.Topic))
		b.restart(t)
		c, ok := b.ExistingChannel("part")
		if !ok {
			t.Fatal("it left before its end")
		}
		k := subscribe(t, c)
		k.finish(t, k.takeAll()...)
		wait(time.Minute)
		if _, ok := b.ExistingChannel("part"); !ok || k.closed.Load() {
			t.Error("it left with a consumer")
		}
		k.Close()
		b.ConsumerLeft(c)
		wait(time.Second)
		if _, ok := b.ExistingChannel("part"); ok {
			t.Error("it stays")
		}
	})
}

// TestBoundedChannelWithoutConsumersLeavesHoweverItEnds: what ends it need not be a consumer's
// answer.
func TestBoundedChannelWithoutConsumersLeavesHoweverItEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, b *bench, c *channel.Channel){
		"emptied": func(t *testing.T, b *bench, c *channel.Channel) { must(t, b.EmptyChannel("part")) },
		"rewound to its end": func(t *testing.T, b *bench, c *channel.Channel) {
			b.rewind(t, "part", at(c.Stats().Until))
		},
		"finished by who was gone": func(t *testing.T, b *bench, c *channel.Channel) {
			k := subscribe(t, c)
			ds := k.takeAll()
			k.Close()
			b.ConsumerLeft(c)
			for _, d := range ds {
				must(t, c.Finish(d.id))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
				must(t, b.send(numbered("m", 3)...))
				b.channel(t, "c")
				o := Operation{Channel: "part", Until: "last", Leaves: true}
				must(t, o.createFrom(b.Topic))
				end(t, b, b.channel(t, "part"))
				wait(time.Second)
				if _, ok := b.ExistingChannel("part"); ok {
					t.Error("it stays")
				}
			})
		})
	}
}

func TestRewindOfWhatIsNotKeptIsRefused(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.channel(t, "e#ephemeral")
		if _, err := b.Rewind("e#ephemeral", Whole); !errors.Is(err, ErrEphemeral) {
			t.Error(err)
		}
		if _, err := b.Rewind("none", Whole); !errors.Is(err, ErrNoChannel) {
			t.Error(err)
		}
	})
}

func TestRewindThatTheJournalRefusesChangesNothing(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		must(t, b.send(numbered("m", 4)...))
		k := subscribe(t, c)
		ds := k.takeAll()
		k.finish(t, ds[:2]...)
		must(t, b.journal.Flush())
		disk.Fail(onJournal(crashfs.OpWrite, func() error { return errIO }))
		if _, err := b.Rewind("c", Whole); err == nil {
			t.Error("it is taken though it is not kept")
		}
		disk.Fail(nil)
		k.finish(t, ds[2])
		must(t, b.send("new"))
		if got := bodies(k.takeAll()); !slices.Equal(got, []string{"new"}) {
			t.Errorf("then %q", got)
		}
		k.Close()
	})
}

func TestPausedStaysPausedOverARewind(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		must(t, b.send("1"))
		drain(t, c)
		must(t, b.PauseChannel("c"))
		b.rewind(t, "c", "first")
		for range 2 {
			c = b.channel(t, "c")
			if !c.Paused() {
				t.Error("it is not paused")
			}
			wantWaiting(t, c)
			b.restart(t)
		}
		must(t, b.UnpauseChannel("c"))
		wantWaiting(t, b.channel(t, "c"), "1")
	})
}

// batchOfOne is a batch with one message.
type batchOfOne struct{ diskqueue.Batch }

func (o *batchOfOne) expiring(b *bench, body string, age time.Duration) *diskqueue.Batch {
	o.Reset()
	now := b.clock().Wall()
	o.Add(&message.Meta{Timestamp: now, ExpireAt: now/1e6 + age.Milliseconds()}, []byte(body))
	return &o.Batch
}

// TestRewindAgainstReclamation: whatever a rewind has answered with comes, while segments go
// and messages are published and finished.
func TestRewindAgainstReclamation(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		var mu sync.Mutex // guards got and stop
		got, stop := map[uint64]bool{}, false
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k := subscribe(t, c)
			defer k.Close()
			for {
				var ds deliveries
				n := k.Take(&ds, 7)
				mu.Lock()
				for _, d := range ds {
					got[seqOf(d)] = true
				}
				over := stop && n == 0
				mu.Unlock()
				as := make([]channel.Answer, len(ds))
				for i, d := range ds {
					as[i] = channel.Answer{Op: channel.Finish, ID: d.id}
				}
				k.Answer(as) // late ones are refused
				if over {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		published := make(chan error, 1)
		go func() {
			var err error
			for i := 0; i < 300 && err == nil; i++ {
				err = b.send(string(make([]byte, 4<<10)))
				time.Sleep(time.Millisecond)
			}
			published <- err
		}()
		var last Replay
		for range 20 {
			time.Sleep(17 * time.Millisecond)
			mu.Lock()
			clear(got)
			mu.Unlock()
			last = b.rewind(t, "c", "first")
		}
		must(t, <-published)
		mu.Lock()
		stop = true
		mu.Unlock()
		<-ended
		if b.lost > 0 || slices.ContainsFunc(b.told(), func(e string) bool { return strings.HasPrefix(e, "read") }) {
			t.Errorf("%d are lost", b.lost)
		}
		for seq := last.From; seq < b.fanout.committed(); seq++ {
			if !got[seq] {
				t.Fatalf("%d of %+v does not come", seq, last)
			}
		}
	}, smallSegments)
}

// TestDepthAfterARewindIsOfWhatTheChannelGets: what was put back for another one does not
// count, however the channel came to begin there.
func TestDepthAfterARewindIsOfWhatTheChannelGets(t *testing.T) {
	inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1h"}`)
		b.channel(t, "c")
		b.channel(t, "d")
		must(t, b.send(numbered("m", 3)...))
		for _, body := range numbered("only", 4) {
			must(t, b.sendOnly(body, "d"))
		}
		must(t, b.send("last"))
		drain(t, b.channel(t, "c"))
		drain(t, b.channel(t, "d"))
		want := map[string]int64{"c": 4, "d": 8, "e": 4}
		depths := func(what string) {
			t.Helper()
			for name, n := range want {
				if got := b.channel(t, name).Stats().Depth; got != n {
					t.Errorf("%s: the depth of %s is %d, want %d", what, name, got, n)
				}
			}
		}
		wantMessages := func(name string, r Replay) {
			t.Helper()
			if r.Messages != want[name] {
				t.Errorf("%s: answered %+v", name, r)
			}
		}
		wantMessages("c", b.rewind(t, "c", "first"))
		wantMessages("d", b.rewind(t, "d", "first"))
		wantMessages("e", b.createFrom(t, "e", "first", ""))
		depths("at once")
		b.die(t, disk.Kill)
		depths("after a kill")
		b.restart(t)
		depths("after a restart")
		wantMessages("c", b.rewind(t, "c", "first"))
		depths("with the index of a closed segment")
		wantWaiting(t, b.channel(t, "c"), "m0", "m1", "m2", "last")
	})
}

// TestSeekByTimeMissesNothingWhateverTheClocksSay: it begins with the first message, in the
// order of the log, of that time or later. Earlier ones behind it come too.
func TestSeekByTimeMissesNothingWhateverTheClocksSay(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1000h"}`)
		c := b.channel(t, "c")
		start := b.clock().Wall()
		for i, minute := range []int64{0, 1, 5, 2, 3, 9, 4, 10} {
			batch := new(diskqueue.Batch)
			batch.Add(&message.Meta{Timestamp: start + minute*int64(time.Minute)}, []byte("m"+strconv.Itoa(i)))
			must(t, b.Publish(batch))
		}
		wait(time.Hour)
		drain(t, c)
		for range 2 {
			for minute, first := range map[int64]int{0: 0, 1: 1, 2: 2, 3: 2, 5: 2, 6: 5, 9: 5, 10: 7, 11: 8} {
				text := time.Unix(0, start+minute*int64(time.Minute)).UTC().Format(time.RFC3339Nano)
				b.rewind(t, "c", text)
				if got := drain(t, b.channel(t, "c")); !slices.Equal(got, numbered("m", 8)[first:]) {
					t.Errorf("from minute %d on: %q", minute, got)
				}
			}
			b.restart(t)
		}
	})
}

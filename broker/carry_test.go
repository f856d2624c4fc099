package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// recordBytes is what a record takes that holds a body of that size.
func recordBytes(body int) int64 { return int64(message.HeaderSize + 12 + body) }

// wantBounded checks the promise: five times what is owed, and 256 KiB a topic.
func wantBounded(t *testing.T, disk *crashfs.FS, owed int64) {
	t.Helper()
	if n := segmentFiles(disk); n > 5*owed+256<<10 {
		t.Errorf("%d bytes of segments for %d that are owed", n, owed)
	}
}

func sizes() map[string]func(*Options) {
	return map[string]func(*Options){
		"default":  large,
		"64 KiB":   func(o *Options) { o.SegmentBytes = 64 << 10 },
		"synced":   func(o *Options) { large(o); strict(o) },
		"no cache": func(o *Options) { o.SegmentBytes, o.MemQueueSize = 64<<10, 0 },
	}
}

func TestOneDeferredMessageDoesNotKeepTheLog(t *testing.T) {
	for name, adjust := range sizes() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, adjust)
				tp := getTopic(t, b, "t")
				k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
				must(t, publishDeferred(tp, "later", time.Hour))
				for range 300 {
					must(t, publish(tp, strings.Repeat("x", 20<<10)))
				}
				if n := consumeAll(t, k); n != 300 {
					t.Errorf("%d messages", n)
				}
				<-time.After(5 * time.Second)
				synctest.Wait()
				wantBounded(t, disk, recordBytes(5))
				for range 3 { // it keeps its due time over restarts
					<-time.After(10 * time.Minute)
					k.Close()
					kill(disk, b)
					b = open(t, disk, adjust)
					wantBounded(t, disk, recordBytes(5))
					if d := b.Damage(); d.Messages != 0 {
						t.Errorf("%d messages are said to be damaged", d.Messages)
					}
					k = subscribe(t, getChannel(t, b, "t", "c"), 1000)
					if got := bodies(k.takeAll()); len(got) > 0 {
						t.Fatalf("%q came early", got)
					}
				}
				<-time.After(31 * time.Minute)
				ds := k.takeAll()
				if got := bodies(ds); !slices.Equal(got, []string{"later"}) {
					t.Errorf("%q", got)
				}
				k.finish(t, ds...)
				k.Close()
				must(t, b.Close())
			})
		})
	}
}

// What an index tells of a segment is coarse: many segments, each of which owes
// little, owe too much by it.
func TestFewMessagesInEachOfManySegmentsDoNotKeepTheLog(t *testing.T) {
	for name, adjust := range sizes() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, adjust)
				tp := getTopic(t, b, "t")
				k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
				for range 12 {
					must(t, publishDeferred(tp, "later", time.Hour))
					for range 100 {
						must(t, publish(tp, strings.Repeat("x", 1008)))
					}
					consumeAll(t, k)
				}
				<-time.After(5 * time.Second)
				synctest.Wait()
				wantBounded(t, disk, 12*recordBytes(5))
				k.Close()
				must(t, b.Close())
			})
		})
	}
}

// 5 bytes deferred for an hour, 104 MB published and consumed, on a disk of 100.
func TestOneDeferredMessageFillsNoDisk(t *testing.T) {
	for name, adjust := range sizes() {
		if name == "synced" {
			continue // it makes no difference here
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text strings.Builder
				disk := newDisk(t, 1)
				disk.Limit(100 << 20)
				b := open(t, disk, adjust, logTo(&text))
				tp := getTopic(t, b, "t")
				k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
				must(t, publishDeferred(tp, "later", time.Hour))
				body := strings.Repeat("x", 100<<10)
				for i := range 1040 {
					if err := publish(tp, body); err != nil {
						t.Fatalf("message %d is refused: %v\n%s", i, err, text.String())
					}
					consumeAll(t, k)
				}
				<-time.After(5 * time.Second)
				synctest.Wait()
				wantBounded(t, disk, recordBytes(5))
				kill(disk, b)
				b = open(t, disk, adjust)
				if d := b.Damage(); d.Messages != 0 {
					t.Errorf("%d messages are said to be damaged", d.Messages)
				}
				wantDrained(t, getChannel(t, b, "t", "c"), "later")
				must(t, b.Close())
			})
		})
	}
}

// A backlog filled the disk before anybody worked on it, and of each segment a
// little is owed: all together, or that of one alone, is more than there is room
// for.
func TestFullDiskIsFreedBySmallCarries(t *testing.T) {
	for name, segmentBytes := range map[string]int64{"64 KiB": 64 << 10, "1 MiB": 1 << 20, "default": 100 << 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				disk.Limit(40 << 20)
				adjust := func(o *Options) { o.SegmentBytes = segmentBytes }
				b := open(t, disk, adjust)
				tp := getTopic(t, b, "t")
				k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
				body := strings.Repeat("x", 2000)
				for publish(tp, body) == nil {
				}
				owed, n, later := int64(0), 0, 0
				for ds := k.take(); len(ds) > 0; ds = k.take() {
					for _, d := range ds {
						if n++; n%20 == 0 {
							k.answer(channel.Requeue, time.Hour, d)
							owed += recordBytes(len(body))
							later++
						} else {
							k.finish(t, d)
						}
					}
				}
				<-time.After(20 * time.Second)
				synctest.Wait()
				if err := publish(tp, "there is room"); err != nil {
					t.Error(err)
				}
				wantBounded(t, disk, owed)
				k.Close()
				kill(disk, b)
				b = open(t, disk, adjust)
				if d := b.Damage(); d.Messages != 0 {
					t.Errorf("%d messages are said to be damaged", d.Messages)
				}
				if s := getChannel(t, b, "t", "c").Stats(); s.Deferred != later || s.Depth != 1 {
					t.Errorf("%d messages are deferred, want %d; depth %d", s.Deferred, later, s.Depth)
				}
				must(t, b.Close())
			})
		})
	}
}

// Where nothing can be carried, as all at the end is owed and that is more than
// there is room for, it is said once.
func TestFullDiskThatStaysFullIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		disk := newDisk(t, 1)
		disk.Limit(8 << 20)
		b := open(t, disk, large, logTo(&text))
		tp := getTopic(t, b, "t")
		k := subscribe(t, getChannel(t, b, "t", "c"), 1<<20)
		n := 0
		for publish(tp, strings.Repeat("x", 2000)) == nil {
			n++
		}
		for ds := k.take(); len(ds) > 0; ds = k.take() {
			for _, d := range ds {
				if n--; n < 400 {
					k.answer(channel.Requeue, time.Hour, d)
				} else {
					k.finish(t, d)
				}
			}
		}
		<-time.After(20 * time.Second)
		synctest.Wait()
		if n := strings.Count(text.String(), "stay for now"); n != 1 {
			t.Errorf("it is said %d times that segments stay", n)
		}
		k.Close()
		kill(disk, b)
	})
}

// The pace of carrying in the background holds up nobody who needs room now.
func TestMakingRoomDoesNotWaitForThePaceOfCarrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, large)
		tp := getTopic(t, b, "t")
		k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
		for i := range 1000 {
			must(t, publish(tp, strings.Repeat("x", 20<<10)))
			for _, d := range k.take() {
				if i%10 == 0 {
					k.answer(channel.Requeue, time.Hour, d)
				} else {
					k.finish(t, d)
				}
			}
		}
		for range 500 {
			<-time.After(10 * time.Millisecond)
			b.cleaner.FreeFinished(b.Topics()) // it would wait for ever: time stands still for a lock
		}
		wantBounded(t, disk, 100*recordBytes(20<<10))
		k.Close()
		must(t, b.Close())
	})
}

// Whatever the pattern of what is owed, the bound holds once nothing happens.
func TestWhatIsOwedBoundsTheLog(t *testing.T) {
	for name, owe := range map[string]func(i int) bool{
		"one in each segment": func(i int) bool { return i%30 == 0 },
		"one in each stretch": func(i int) bool { return i%7 == 0 && i%3 != 0 },
		"a large one":         func(i int) bool { return i == 500 },
		"the first and last":  func(i int) bool { return i == 0 || i == 1999 },
	} {
		for how, segmentBytes := range map[string]int64{"64 KiB": 64 << 10, "1 MiB": 1 << 20, "default": 100 << 20} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					disk := newDisk(t, 1)
					adjust := func(o *Options) { o.SegmentBytes = segmentBytes }
					b := open(t, disk, adjust)
					tp := getTopic(t, b, "t")
					k := subscribe(t, getChannel(t, b, "t", "c"), 1<<20)
					rng := rand.New(rand.NewPCG(1, 1))
					var want []string
					owed := int64(0)
					for i := range 2000 {
						body := fmt.Sprint(i, " ", strings.Repeat("x", rng.IntN(8000)))
						if owe(i) {
							if name != "a large one" {
								body = fmt.Sprint(i)
							}
							want = append(want, body)
							owed += recordBytes(len(body))
						}
						must(t, publish(tp, body))
					}
					for ds := k.take(); len(ds) > 0; ds = k.take() {
						for _, d := range ds {
							if slices.Contains(want, d.body) {
								k.answer(channel.Requeue, time.Hour, d)
							} else {
								k.finish(t, d)
							}
						}
					}
					<-time.After(20 * time.Second)
					synctest.Wait()
					wantBounded(t, disk, owed)
					k.Close()
					<-time.After(time.Second)
					kill(disk, b)
					b = open(t, disk, adjust)
					if d := b.Damage(); d.Messages != 0 {
						t.Errorf("%d messages are said to be damaged", d.Messages)
					}
					wantBounded(t, disk, owed)
					<-time.After(2 * time.Hour)
					wantDrained(t, getChannel(t, b, "t", "c"), want...)
					must(t, b.Close())
				})
			})
		}
	}
}

// A node that dies at any moment of carrying loses nothing that is owed, calls
// nothing damage and gives nothing out early.
func TestNothingOwedIsLostWhereverANodeDiesThatCarries(t *testing.T) {
	for name, end := range map[string]func(*crashfs.FS){
		"killed":     (*crashfs.FS).Kill,
		"power lost": func(fs *crashfs.FS) { fs.Crash(crashfs.Random) },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				synctest.Test(t, func(t *testing.T) { dieCarrying(t, seed, end) })
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func dieCarrying(t *testing.T, seed uint64, end func(*crashfs.FS)) {
	rng := rand.New(rand.NewPCG(seed, 7))
	disk := newDisk(t, seed)
	small := func(o *Options) { o.SegmentBytes, o.MemQueueSize, o.SyncEvery = 2<<10, 100, 50 }
	b := open(t, disk, small)
	var want []string
	for life := range 3 {
		tp := getTopic(t, b, "t")
		k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
		for i := range 20 {
			body := fmt.Sprint("deferred ", life, " ", i)
			must(t, publishDeferred(tp, body, time.Hour))
			want = append(want, body)
			must(t, publish(tp, numbered(strings.Repeat("x", 250), rng.IntN(40))...))
			consumeAll(t, k)
		}
		k.Close()
		<-time.After(3 * time.Second) // synced; the carrying begins
		ops, at := 0, rng.IntN(60)
		disk.Fail(func(crashfs.Op, string) error {
			if ops++; ops == at {
				end(disk)
			}
			return nil
		})
		<-time.After(10 * time.Second)
		disk.Fail(nil)
		if ops < at || at == 0 {
			end(disk)
		}
		_ = b.Close()
		synctest.Wait()
		b = open(t, disk, small)
		if d := b.Damage(); d.Messages != 0 {
			t.Errorf("%d messages are said to be damaged", d.Messages)
		}
		if s := getChannel(t, b, "t", "c").Stats(); s.Deferred != len(want) || s.Depth != 0 {
			t.Errorf("life %d: %d messages are deferred, want %d; depth %d", life, s.Deferred, len(want), s.Depth)
		}
	}
	<-time.After(2 * time.Hour)
	wantDrained(t, getChannel(t, b, "t", "c"), want...)
	must(t, b.Close())
}

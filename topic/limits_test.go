package topic

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// inBench runs a test with a topic in a bubble.
func inBench(t *testing.T, test func(t *testing.T, disk *crashfs.FS, b *bench), settings ...setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "data", settings...)
		test(t, disk, b)
		b.close(t)
	})
}

func (b *bench) configure(t testing.TB, settings string) {
	t.Helper()
	must(t, b.Configure([]byte(settings)))
}

// wantFull wants a publish to be refused because of a setting.
func wantFull(t testing.TB, err error, setting string) {
	t.Helper()
	var full *FullError
	if !errors.As(err, &full) || full.Setting != setting || !strings.Contains(err.Error(), setting) {
		t.Fatalf("not refused by %s: %v", setting, err)
	}
}

func TestFullTopicRefusesUntilSomethingIsFinishedInAllChannels(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_messages": 3}`)
		a, c := b.channel(t, "a"), b.channel(t, "c")
		must(t, b.send("1", "2", "3"))
		wantFull(t, b.send("4"), "max_messages")
		wantFull(t, b.Publish(batchOf(4, 1)), "max_messages")
		k := subscribe(t, a)
		ds := k.takeAll()
		k.finish(t, ds[1]) // out of order, and in one channel alone
		wantFull(t, b.send("4"), "max_messages")
		l := subscribe(t, c)
		l.finish(t, l.takeAll()[1])
		must(t, b.send("4"))
		wantFull(t, b.send("5"), "max_messages")
		k.Close()
		if got := drain(t, a); len(got) != 3 {
			t.Errorf("%q wait", got)
		}
		b.configure(t, `{"max_messages": null}`)
		must(t, b.send("5"))
		must(t, b.PublishOwn(batchOf(1, 1)))
	})
}

func TestFullTopicTakesWhatTheNodePublishesItself(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_messages": 1}`)
		must(t, b.send("1"))
		must(t, b.PublishOwn(batchOf(2, 1)))
		wantFull(t, b.send("4"), "max_messages")
	})
}

func TestWhatWaitsWithoutChannelOrWhilePausedCounts(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_messages": 2}`)
		must(t, b.send("1", "2"))
		wantFull(t, b.send("3"), "max_messages")
		must(t, b.Empty())
		must(t, b.Pause())
		must(t, b.send("3", "4"))
		b.channel(t, "a")
		wantFull(t, b.send("5"), "max_messages")
	})
}

func TestBytesAreLimited(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_bytes": "100KiB"}`)
		c := b.channel(t, "a")
		for range 9 {
			must(t, b.Publish(batchOf(1, 10<<10)))
		}
		wantFull(t, b.Publish(batchOf(1, 10<<10)), "max_bytes")
		must(t, b.Publish(batchOf(1, 1<<10)))
		drain(t, c)
		for range 9 {
			must(t, b.Publish(batchOf(1, 10<<10)))
		}
	}, smallSegments)
}

func TestManyPublishersNeverExceedALimit(t *testing.T) {
	const limit = 50
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_messages": 50}`)
		var published sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range 20 {
			published.Go(func() {
				for range 10 {
					err := b.Publish(batchOf(1, 10))
					var full *FullError
					mu.Lock()
					switch {
					case err == nil:
						taken++
					case errors.Is(err, errRefused):
						_ = b.Probe()
					case !errors.As(err, &full):
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
		published.Wait()
		if depth := b.Stats().Depth; depth != int64(taken) || depth > limit {
			t.Errorf("%d are there, %d were OK'd, the limit is %d", depth, taken, limit)
		}
		b.close(t)
	})
}

func TestOldestAreDroppedInAllChannelsButNotInFlight(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_messages": 3, "overflow": "drop-oldest"}`)
		a, c := b.channel(t, "a"), b.channel(t, "c")
		must(t, b.send("1", "2"))
		k := subscribe(t, a)
		var one deliveries
		k.Take(&one, 1) // 1 is in flight
		must(t, b.send("3", "4", "5"))
		synctest.Wait() // another one may be dropping
		wantAnyOrder(t, c, "1", "4", "5")
		if s := b.Stats(); s.Dropped != 2 {
			t.Errorf("%d are dropped, want 2", s.Dropped)
		}
		must(t, b.Publish(batchOf(4, 1)))
		synctest.Wait()
		wantAnyOrder(t, c, "1", "\x00", "\x00")
		k.requeue(t, 0, one[0])
		must(t, b.send("6"))
		synctest.Wait()
		wantAnyOrder(t, c, "\x00", "\x00", "6")
		k.Close()
		if s := a.Stats(); s.Dropped != 7 || s.Depth != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// wantAnyOrder is wantWaiting where some of it was looked at before.
func wantAnyOrder(t testing.TB, c *channel.Channel, want ...string) {
	t.Helper()
	k := subscribe(t, c)
	got := bodies(k.takeAll())
	k.Close()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("channel %s has %q, not %q", c.Name(), got, want)
	}
}

func TestOldestAreDroppedWithoutChannelAndWhilePausedAndStaySoOverARestart(t *testing.T) {
	for _, paused := range []bool{false, true} {
		inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
			b.configure(t, `{"max_messages": 3, "overflow": "drop-oldest"}`)
			if paused {
				b.channel(t, "a")
				must(t, b.Pause())
			}
			must(t, b.send(numbered("", 10)...))
			synctest.Wait() // another one may be dropping
			if s := b.Stats(); s.Depth != 3 || s.Dropped != 7 {
				t.Errorf("%+v", s)
			}
			b.configure(t, `{"max_messages": null}`)
			b.restart(t)
			if paused {
				must(t, b.Unpause())
			}
			wantWaiting(t, b.channel(t, "a"), "7", "8", "9")
		})
	}
}

// What takes long to count is counted less often, and who waits for that drops without
// being asked again.
func TestOldestAreDroppedLaterWhereTheLastCountTookLong(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_messages": 3, "overflow": "drop-oldest"}`)
		b.limiter.mu.Lock()
		b.limiter.next = b.limiter.reclaimer.now() + int64(time.Second)
		b.limiter.mu.Unlock()
		must(t, b.send(numbered("", 5)...))
		synctest.Wait()
		if s := b.Stats(); s.Depth != 5 {
			t.Errorf("%d wait, want 5", s.Depth)
		}
		wait(time.Second)
		if s := b.Stats(); s.Depth != 3 || s.Dropped != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDroppedFirstSegmentsAreGivenBack(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"max_bytes": "100KiB", "overflow": "drop-oldest"}`)
		for range 100 {
			must(t, b.Publish(batchOf(1, 10<<10)))
		}
		synctest.Wait()
		if bytes := segments(disk); bytes > 256<<10 {
			t.Errorf("%d bytes are left", bytes)
		}
		if s := b.Stats(); s.Depth != 9 {
			t.Errorf("%+v", s)
		}
	}, smallSegments)
}

// sendUntil publishes a message with a time to live.
func (b *bench) sendUntil(body string, ttl, delay time.Duration) error {
	var batch diskqueue.Batch
	batch.Reset()
	now := b.clock().Wall()
	m := message.Meta{Timestamp: now, DeliverAt: message.DueAt(now, delay)}
	m.ExpireAt = now/1e6 + (delay + ttl).Milliseconds()
	batch.Add(&m, []byte(body))
	return b.Publish(&batch)
}

func TestMessagesExpireByAgeInAllChannelsAndWithoutOne(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_age": "10s"}`)
		must(t, b.send("1", "2"))
		wait(6 * time.Second)
		must(t, b.send("3"))
		must(t, b.sendLater("deferred", 7*time.Second))
		wait(5 * time.Second)
		if s := b.Stats(); s.Depth != 2 || s.Expired != 2 {
			t.Errorf("%+v", s)
		}
		a := b.channel(t, "a")
		wantWaiting(t, a, "3")
		wait(6 * time.Second)
		wantWaiting(t, a, "deferred") // since 4 s
		wait(5 * time.Second)
		wantWaiting(t, a, "deferred")
		wait(2 * time.Second)
		wantWaiting(t, a)
		if s, of := b.Stats(), a.Stats(); s.Expired != 4 || of.Expired != 2 {
			t.Errorf("%+v, %+v", s, of)
		}
	})
}

func TestWhatExpiresInFlightIsSparedUntilItsDeliveryEnds(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"max_age": "10s"}`)
		a := b.channel(t, "a")
		must(t, b.send("1", "2"))
		k := subscribe(t, a)
		ds := k.takeAll()
		wait(11 * time.Second)
		k.finish(t, ds[0])
		k.requeue(t, time.Second, ds[1])
		k.Close()
		wantWaiting(t, a)
		if s := a.Stats(); s.Expired != 1 || s.Deferred != 0 || a.Floor() != b.o.Log.End() {
			t.Errorf("%+v, floor %d", s, a.Floor())
		}
	})
}

func TestTimeToLiveHoldsOverARestart(t *testing.T) {
	for _, inBetween := range []time.Duration{0, time.Minute} {
		inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
			b.channel(t, "a")
			must(t, b.sendUntil("short", 5*time.Second, 0))
			must(t, b.send("for ever"))
			must(t, b.sendUntil("later", 5*time.Second, 4*time.Second))
			must(t, b.sendUntil("long", time.Hour, 0))
			b.close(t)
			wait(inBetween)
			b.open(t)
			a := b.channel(t, "a")
			wait(8 * time.Second)
			want := []string{"later", "for ever", "long"}
			if inBetween > 0 {
				want = []string{"for ever", "long"}
			}
			k := subscribe(t, a)
			got := bodies(k.takeAll())
			k.Close()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			wait(2 * time.Second)
			k = subscribe(t, a)
			if got := bodies(k.takeAll()); len(got) != 2 {
				t.Errorf("got %q in the end", got)
			}
			k.Close()
		}, smallSegments)
	}
}

func TestAgeIsLoweredAndRaisedWhileMessagesWait(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		a := b.channel(t, "a")
		must(t, b.send("1"))
		wait(5 * time.Second)
		must(t, b.send("2"))
		wait(5 * time.Second)
		b.configure(t, `{"max_age": "7s"}`)
		synctest.Wait()
		wantWaiting(t, a, "2")
		b.configure(t, `{"max_age": "1h"}`)
		wait(time.Minute)
		wantWaiting(t, a, "2")
	})
}

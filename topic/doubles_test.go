package topic

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// knowsDoubles is a topic that does from the first message on.
func (b *bench) knowsDoubles(t testing.TB, settings string) {
	t.Helper()
	b.configure(t, `{"dedup_window": "1h", "dedup_from": "body"`+settings+`}`)
}

// batchFor is what a session makes of bodies, each a message of its own, or all an MPUB.
func (b *bench) batchFor(multi bool, bodies ...string) *diskqueue.Batch {
	batch, stamp := new(diskqueue.Batch), b.Stamp()
	batch.Reset()
	if multi {
		batch.BeginMulti()
		defer batch.EndMulti()
	}
	for _, body := range bodies {
		m := message.Meta{Timestamp: b.clock().Wall()}
		stamp.Apply(&m, []byte(body))
		batch.Add(&m, []byte(body))
	}
	return batch
}

func (b *bench) pub(bodies ...string) error {
	for _, body := range bodies {
		if err := b.Publish(b.batchFor(false, body)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) mpub(bodies ...string) error { return b.Publish(b.batchFor(true, bodies...)) }

// die ends the process as how does, and begins the next.
func (b *bench) die(t testing.TB, how func()) {
	t.Helper()
	how()
	b.abandon()
	b.fs = b.fs.(*crashing).again()
	b.open(t)
}

// crashing is the disk as one process sees it.
type crashing struct {
	vfs.FS

	disk *crashfs.FS
}

func (c *crashing) again() *crashing { return &crashing{c.disk.Mount(), c.disk} }

func inMortalBench(t *testing.T, test func(t *testing.T, disk *crashfs.FS, b *bench), settings ...setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, (&crashing{disk: disk}).again(), "data", settings...)
		test(t, disk, b)
		b.close(t)
	})
}

func TestADoubleIsStoredOnce(t *testing.T) {
	for _, way := range []setting{func(*bench) {}, strict, ephemeral} {
		inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
			b.knowsDoubles(t, "")
			c := b.channel(t, "c")
			must(t, b.pub("a", "b", "a", "b", "a"))
			must(t, b.mpub("a", "c", "c", "d", "b"))
			must(t, b.mpub("c", "d"))
			must(t, b.Publish(b.batchFor(false, "e", "a", "f", "e")))
			wantWaiting(t, c, "a", "b", "c", "d", "e", "f")
			s, _ := b.DedupStats()
			if s.Found != 10 || s.IDs != 6 || s.Max != 1_000_000 || s.Window != time.Hour || s.Oldest == 0 {
				t.Errorf("%+v", s)
			}
			if b.o.Ephemeral {
				return
			}
			b.restart(t)
			must(t, b.pub("a", "b", "g"))
			b.die(t, disk.Kill)
			must(t, b.pub("a", "b", "c", "d", "e", "f", "g"))
			wantWaiting(t, b.channel(t, "c"), "a", "b", "c", "d", "e", "f", "g")
		}, way)
	}
}

func TestAnIDCountsAsLongAsTheWindow(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.configure(t, `{"dedup_window": "10s", "dedup_from": "json:/id"}`)
		c := b.channel(t, "c")
		one, two := `{"id":"x"}`, `{"id":"x","again":true}`
		must(t, b.pub(one, two))
		wait(9 * time.Second)
		must(t, b.pub(two))
		wait(2 * time.Second)
		must(t, b.pub(two, one, "no id", "no id"))
		wantWaiting(t, c, one, two, "no id", "no id")
		if s, _ := b.DedupStats(); s.IDs != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTheOldestIDGoesWhereThereAreTooMany(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.knowsDoubles(t, `, "dedup_max_ids": 2`)
		must(t, b.pub("a", "b", "c", "b", "c", "a"))
		wantWaiting(t, b.channel(t, "c"), "a", "b", "c", "a")
		if s, _ := b.DedupStats(); s.IDs != 2 || s.Evicted != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestSettingsOfDoublesChangeAtRunTime(t *testing.T) {
	inBench(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		must(t, b.pub("before"))
		b.knowsDoubles(t, "")
		must(t, b.pub("before", "before", "a"))
		wait(time.Minute)
		b.configure(t, `{"dedup_window": "30s"}`)
		must(t, b.pub("a", "a"))
		b.configure(t, `{"dedup_window": "0s"}`)
		must(t, b.pub("a"))
		if _, ok := b.DedupStats(); ok {
			t.Error("doubles are known though they are not to be")
		}
		b.configure(t, `{"dedup_window": "1h"}`)
		must(t, b.pub("a", "before"))
		wantWaiting(t, b.channel(t, "c"), "before", "before", "a", "a", "a")
		err := b.Configure([]byte(`{"dedup_max_ids": 100000}`))
		must(t, err)
		b.o.Common.MaxIDs = 1000
		if err := b.Configure([]byte(`{"dedup_max_ids": 1001}`)); err == nil || !strings.Contains(err.Error(), "at most 1000") {
			t.Errorf("refused with %v", err)
		}
	})
}

// fill publishes bodies that take so much that their segments are given back.
func fill(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(prefix, i, strings.Repeat("x", 20<<10)))
	}
	return list
}

// TestIDsOutliveTheirSegments, however the process ends: what was finished, emptied, too old
// or became a dead letter counts as what waits does.
func TestIDsOutliveTheirSegments(t *testing.T) {
	ends := map[string]func(disk *crashfs.FS){
		"killed":        (*crashfs.FS).Kill,
		"without power": func(disk *crashfs.FS) { disk.Crash(crashfs.DropAll) },
		"random":        func(disk *crashfs.FS) { disk.Crash(crashfs.Random) },
	}
	ways := map[string]func(t *testing.T, b *bench){
		"finished": func(t *testing.T, b *bench) { drain(t, b.channel(t, "c")) },
		"emptied":  func(t *testing.T, b *bench) { must(t, b.EmptyChannel("c")) },
		"too old": func(t *testing.T, b *bench) {
			b.configure(t, `{"max_age": "10s"}`)
			wait(20 * time.Second)
			if n := b.Stats().Expired; n != 21 {
				t.Errorf("%d messages expired", n)
			}
			b.configure(t, `{"max_age": "0s"}`)
		},
		"dead letters": func(t *testing.T, b *bench) {
			must(t, b.ConfigureChannel("c", []byte(`{"max_attempts": 1, "dead_letter_topic": "dead"}`)))
			k := subscribe(t, b.channel(t, "c"))
			k.requeue(t, 0, k.takeAll()...)
			k.Close()
		},
	}
	for end, stop := range ends {
		for way, go_ := range ways {
			for _, sync := range []setting{func(*bench) {}, strict} {
				t.Run(end+" "+way, func(t *testing.T) {
					l := &letterbox{}
					inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
						b.o.Common.DeadLetters.Begin()
						defer b.o.Common.DeadLetters.Close()
						b.configure(t, `{"dedup_window": "2m", "dedup_from": "body"}`)
						b.channel(t, "c")
						bodies := fill("m", 20)
						must(t, b.pub(bodies...))
						must(t, b.pub("small"))
						go_(t, b)
						wait(5 * time.Second)
						if n := len(l.letters); way == "dead letters" && n != 21 {
							t.Errorf("%d dead letters", n)
						}
						if n := segments(disk); n > 100<<10 {
							t.Fatalf("%d bytes are left", n)
						}
						for range 2 {
							b.die(t, func() { stop(disk) })
							must(t, b.pub(bodies[:15]...))
							must(t, b.mpub(bodies...))
							wantWaiting(t, b.channel(t, "c"))
						}
						must(t, b.pub(fill("n", 8)...))
						drain(t, b.channel(t, "c"))
						wait(5 * time.Second)
						b.die(t, func() { stop(disk) })
						must(t, b.pub(append(fill("n", 8), bodies...)...))
						wantWaiting(t, b.channel(t, "c"))
						wait(3 * time.Minute)
						must(t, b.pub("last"))
						if s, _ := b.DedupStats(); s.IDs != 1 {
							t.Errorf("%+v", s)
						}
						drain(t, b.channel(t, "c"))
						must(t, b.pub(fill("o", 20)...))
						drain(t, b.channel(t, "c"))
						wait(5 * time.Second)
						if n := filesOfIDs(disk); n != 1 {
							t.Errorf("%d files of ids", n)
						}
					}, sync, smallSegments, deadLetters(l))
				})
			}
		}
	}
}

func filesOfIDs(disk *crashfs.FS) (n int) {
	for _, f := range disk.Files() {
		if strings.HasSuffix(f.Name, ".ids") || strings.HasSuffix(f.Name, ".ids.tmp") && !strings.HasSuffix(f.Name, roomName) {
			n++
		}
	}
	return n
}

// TestWhatThePowerTookIsNoDouble: its id must not count, or it would be lost for ever.
func TestWhatThePowerTookIsNoDouble(t *testing.T) {
	inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.knowsDoubles(t, "")
		b.channel(t, "c")
		must(t, b.pub(fill("m", 10)...))
		drain(t, b.channel(t, "c"))
		must(t, b.pub("kept"))
		wait(5 * time.Second)
		must(t, b.pub("lost"))
		b.die(t, func() { disk.Crash(crashfs.DropAll) })
		must(t, b.pub("lost", "kept"))
		wantWaiting(t, b.channel(t, "c"), "kept", "lost")
	}, smallSegments)
}

// TestADoubleWaitsForTheFateOfTheFirst: where that is refused, the double is the first.
func TestADoubleWaitsForTheFateOfTheFirst(t *testing.T) {
	for _, refused := range []bool{false, true} {
		inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
			b.knowsDoubles(t, "")
			c := b.channel(t, "c")
			hold := make(chan error)
			disk.Fail(onLog(crashfs.OpSync, func() error { return <-hold }))
			first, double := make(chan error, 1), make(chan error, 1)
			go func() { first <- b.pub("m") }()
			synctest.Wait()
			go func() { double <- b.pub("m") }()
			synctest.Wait()
			select {
			case err := <-double:
				t.Fatalf("the double is answered first: %v", err)
			default:
			}
			if refused {
				hold <- syscall.EIO
				if err := <-first; !errors.Is(err, syscall.EIO) {
					t.Errorf("first: %v", err)
				}
				if err := <-double; err == nil {
					t.Error("the double is OK'd")
				}
				disk.Fail(nil)
				if s, _ := b.DedupStats(); s.IDs != 0 || s.Found != 0 {
					t.Errorf("%+v", s)
				}
				must(t, b.Probe())
				must(t, b.pub("m"))
			} else {
				close(hold)
				must(t, <-first)
				must(t, <-double)
			}
			must(t, b.pub("m"))
			wantWaiting(t, c, "m")
			disk.Fail(nil)
		}, strict)
	}
}

func TestAFullDiskLeavesNoTraceOfTheFirst(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.knowsDoubles(t, "")
		c := b.channel(t, "c")
		must(t, b.pub("m"))
		disk.Limit(disk.Used())
		long := strings.Repeat("long", 10_000)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := b.pub(long); !diskFull(err) {
					t.Errorf("refused with %v", err)
				}
			})
		}
		all.Wait()
		disk.Limit(-1)
		must(t, b.Probe())
		must(t, b.pub(long, "m", long))
		wantWaiting(t, c, "m", long)
	})
}

func TestConcurrentPublishersOfOneID(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.knowsDoubles(t, "")
		c := b.channel(t, "c")
		var all sync.WaitGroup
		publishers := 8
		if _, one := b.pipeline.committer.(*refusing); one { // a probe is one goroutine's
			publishers = 1
		}
		for i := range publishers {
			all.Go(func() {
				for n := range 20 {
					b.retry(t, func() error {
						return b.mpub(fmt.Sprint("m", n), fmt.Sprint("m", (n+i)%20), fmt.Sprint("m", n))
					})
				}
			})
		}
		all.Wait()
		seen := make(map[string]bool)
		for _, body := range drain(t, c) {
			if _, maybe := b.pipeline.committer.(*refusing); seen[body] && !maybe {
				t.Errorf("%q is there twice", body)
			}
			seen[body] = true
		}
		if len(seen) != 20 {
			t.Errorf("%d messages", len(seen))
		}
		b.close(t)
	})
}

// TestDoublesAreStoredOnceWhateverHappens: publishers send again all that they have no answer
// for, and now and then what they have one for.
func TestDoublesAreStoredOnceWhateverHappens(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			power := rapid.Bool().Draw(r, "power fails")
			way := rapid.SampledFrom([]setting{func(*bench) {}, strict}).Draw(r, "sync")
			disk := crashfs.New(rapid.Uint64().Draw(r, "seed"))
			b := newBench(t, (&crashing{disk: disk}).again(), "data", way, smallSegments)
			lossy := power && b.o.Sync.Every != 1
			b.knowsDoubles(t, "")
			b.channel(t, "c")
			must(t, b.pub("begin"))                      // with which the settings survive the power, too
			came := make(map[string]map[message.ID]bool) // a message may come again, under its id
			sent := 0
			body := func(n int) string { return fmt.Sprint(n, " ", strings.Repeat("x", n*7919%30000)) }
			finish := func() {
				k := subscribe(t, b.channel(t, "c"))
				defer k.Close()
				all := k.takeAll()
				for _, d := range all {
					if came[d.body] == nil {
						came[d.body] = make(map[message.ID]bool)
					}
					came[d.body][d.id] = true
				}
				k.finish(t, all...)
			}
			for range rapid.IntRange(5, 25).Draw(r, "steps") {
				switch rapid.IntRange(0, 6).Draw(r, "step") {
				case 0, 1:
					for range rapid.IntRange(1, 10).Draw(r, "many") {
						must(t, b.pub(body(sent)))
						sent++
					}
				case 2:
					if sent > 0 {
						from := rapid.IntRange(0, sent-1).Draw(r, "from")
						var again []string
						for n := from; n < min(sent, from+10); n++ {
							again = append(again, body(n), body(n))
						}
						must(t, b.mpub(again...))
					}
				case 3, 4:
					finish()
				case 5:
					wait(time.Duration(rapid.IntRange(1, 20).Draw(r, "seconds")) * time.Second)
				case 6:
					b.die(t, func() {
						if power {
							disk.Crash(crashfs.Random)
						} else {
							disk.Kill()
						}
						time.Sleep(time.Millisecond) // numbers go on above the clock, which never stands still between two lives
					})
				}
			}
			for n := range sent { // who is not sure sends again
				must(t, b.pub(body(n)))
			}
			finish()
			for n := range sent {
				if times := len(came[body(n)]); times == 0 || times > 1 && !lossy {
					t.Errorf("message %d of %d is there %d times", n, sent, times)
				}
			}
			b.close(t)
		})
	})
}

// TestDoublesOfARefusedPublishCountOnce, when it is OK'd at last, however often it was tried.
func TestDoublesOfARefusedPublishCountOnce(t *testing.T) {
	for _, way := range []setting{func(*bench) {}, strict} {
		inMortalBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
			b.knowsDoubles(t, "")
			must(t, b.pub("a", "b"))
			disk.Limit(disk.Used())
			for range 3 {
				if err := b.mpub("a", "b", "c", "c"); err == nil {
					t.Fatal("there was room")
				}
			}
			if s, _ := b.DedupStats(); s.Found != 0 || s.IDs != 2 {
				t.Errorf("before anything is OK'd: %+v", s)
			}
			disk.Limit(-1)
			must(t, b.Probe())
			must(t, b.mpub("a", "b", "c", "c"))
			if s, _ := b.DedupStats(); s.Found != 3 || s.IDs != 3 {
				t.Errorf("after: %+v", s)
			}
		}, way)
	}
}

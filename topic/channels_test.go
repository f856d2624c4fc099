package topic

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

func TestFirstChannelGetsTheBacklogAndLaterOnesStartAtTheEnd(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		for _, body := range []string{"1", "2"} {
			b.retry(t, func() error { return b.send(body) })
		}
		if s := b.Stats(); s.Depth != 2 || s.MessageCount != 2 || s.MessageBytes != 2 {
			t.Errorf("%+v", s)
		}
		first := b.channel(t, "first")
		second := b.channel(t, "second")
		b.retry(t, func() error { return b.send("3") })
		wantWaiting(t, first, "1", "2", "3")
		wantWaiting(t, second, "3")
		if names := channelNames(b.Topic); !slices.Equal(names, []string{"first", "second"}) {
			t.Errorf("channels %q", names)
		}
		if got := b.told(); !slices.Equal(got, []string{"register first", "register second"}) {
			t.Errorf("told %q", got)
		}
		b.close(t)
	})
}

func channelNames(t *Topic) (names []string) {
	for _, c := range t.Channels() {
		names = append(names, c.Name())
	}
	return names
}

func TestPausedTopicKeepsItsMessagesForTheChannelsThatThereAreThen(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		early := b.channel(t, "early")
		must(t, b.Pause())
		must(t, b.Pause())
		b.retry(t, func() error { return b.send("m") })
		b.channel(t, "late")
		wantWaiting(t, early)
		if s := b.Stats(); s.Depth != 1 || !s.Paused {
			t.Errorf("%+v", s)
		}
		b.restart(t)
		if !b.Paused() {
			t.Error("the pause is gone after a restart")
		}
		must(t, b.Unpause())
		must(t, b.Unpause())
		late := b.channel(t, "late")
		early = b.channel(t, "early")
		_, again := b.pipeline.committer.(*refusing)
		for _, c := range []*channel.Channel{early, late} {
			if got := drain(t, c); len(got) == 0 || len(got) > 1 && !again {
				t.Errorf("channel %s got %q", c.Name(), got)
			}
		}
		b.close(t)
	})
}

// TestEmptyingDropsWhatWaitsAndNothingElse, for a topic and for a channel, over a
// restart too.
func TestEmptyingDropsWhatWaitsAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d")
		c := b.channel(t, "c")
		b.channel(t, "other")
		must(t, b.Empty()) // nothing waits
		must(t, b.send("given"))
		must(t, b.Pause())
		must(t, b.send("dropped"))
		must(t, b.Empty())
		must(t, b.send("kept"))
		must(t, b.Unpause())
		wantWaiting(t, c, "given", "kept")
		must(t, b.EmptyChannel("c"))
		if err := b.EmptyChannel("none"); err != ErrNoChannel {
			t.Error(err)
		}
		must(t, b.send("last"))
		b.restart(t)
		c = b.channel(t, "c")
		wantWaiting(t, c, "last")
		wantWaiting(t, b.channel(t, "other"), "given", "kept", "last")
		b.close(t)
	})
}

func TestDeletedChannelSharesNothingWithItsSuccessor(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		k := subscribe(t, c)
		b.retry(t, func() error { return b.send("old") })
		must(t, b.DeleteChannel("c"))
		if err := b.DeleteChannel("c"); err != ErrNoChannel {
			t.Error(err)
		}
		if !k.closed.Load() {
			t.Error("the consumer is not closed")
		}
		b.retry(t, func() error { return b.send("new") })
		b.restart(t)
		if names := channelNames(b.Topic); len(names) != 0 {
			t.Errorf("channels after a restart: %q", names)
		}
		got := drain(t, b.channel(t, "c"))
		if slices.Contains(got, "old") || !slices.Contains(got, "new") {
			t.Errorf("got %q", got)
		}
		b.close(t)
	})
}

func TestPausedChannelGivesNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d")
		c := b.channel(t, "c")
		must(t, b.PauseChannel("c"))
		must(t, b.send("m"))
		wantWaiting(t, c)
		b.restart(t)
		c = b.channel(t, "c")
		wantWaiting(t, c)
		must(t, b.UnpauseChannel("c"))
		wantWaiting(t, c, "m")
		for _, err := range []error{b.PauseChannel("none"), b.UnpauseChannel("none")} {
			if err != ErrNoChannel {
				t.Error(err)
			}
		}
		b.close(t)
	})
}

// TestChangeThatTheJournalRefusesHasNotHappened: every one, also after the end of
// the process; and publishing goes on.
func TestChangeThatTheJournalRefusesHasNotHappened(t *testing.T) {
	changes := map[string]func(*bench) error{
		"create":          func(b *bench) error { _, err := b.Channel("new"); return err },
		"learn":           func(b *bench) error { return b.Learn("new") },
		"delete":          func(b *bench) error { return b.DeleteChannel("c") },
		"pause":           func(b *bench) error { return b.Pause() },
		"empty":           func(b *bench) error { return b.Empty() },
		"pause channel":   func(b *bench) error { return b.PauseChannel("c") },
		"unpause channel": func(b *bench) error { return b.UnpauseChannel("paused") },
		"empty channel":   func(b *bench) error { return b.EmptyChannel("c") },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				b := newBench(t, disk, "/d")
				b.channel(t, "c")
				b.channel(t, "paused")
				must(t, b.PauseChannel("paused"))
				must(t, b.send("m"))
				if name == "empty" {
					must(t, b.Pause())
					must(t, b.send("waits"))
				}
				check := func(when string) {
					t.Helper()
					want := []string{"m"}
					if names := channelNames(b.Topic); !slices.Equal(names, []string{"c", "paused"}) {
						t.Errorf("channels %q %s", names, when)
					}
					if s := b.Stats(); s.Paused != (name == "empty") || name == "empty" && s.Depth != 1 {
						t.Errorf("%+v %s", s, when)
					}
					if !b.channel(t, "paused").Paused() || b.channel(t, "c").Paused() {
						t.Errorf("what is paused has changed %s", when)
					}
					wantWaiting(t, b.channel(t, "c"), want...)
				}
				disk.Fail(onJournal(crashfs.OpWrite, func() error { return errIO }))
				if err := change(b); !errors.Is(err, errIO) {
					t.Fatalf("%v", err)
				}
				disk.Fail(nil)
				check("at once")
				b.restart(t)
				check("after a restart")
				if err := change(b); err != nil {
					t.Errorf("when the journal works again: %v", err)
				}
				b.close(t)
			})
		})
	}
}

// TestDelaysAreKeptForChannelsThatComeLater: the topic finds the deferred messages
// again that no channel was told of, also those that are published while it looks.
func TestDelaysAreKeptForChannelsThatComeLater(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.retry(t, func() error { return b.sendLater("later", time.Hour) })
		b.retry(t, func() error { return b.send("now") })
		c := b.channel(t, "c")
		if s := c.Stats(); s.Depth != 1 || s.Deferred != 1 {
			t.Errorf("depth %d, deferred %d", s.Depth, s.Deferred)
		}
		must(t, b.Pause())
		b.retry(t, func() error { return b.sendLater("paused", time.Hour) })
		must(t, b.Unpause())
		k := subscribe(t, c)
		k.finish(t, k.takeAll()...)
		<-time.After(time.Hour + time.Second)
		synctest.Wait()
		got := bodies(k.takeAll())
		if slices.Sort(got); !slices.Equal(got, []string{"later", "paused"}) {
			t.Errorf("%q came after an hour", got)
		}
		k.Close()
		b.close(t)
	})
}

// TestDeferredMessagePublishedWhileTheFanOutCatchesUp is held back like any other.
func TestDeferredMessagePublishedWhileTheFanOutCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", nothingHot)
		must(t, b.sendLater("first", time.Hour))
		caughtUp := make(chan []message.Mark)
		from, to, behind := b.fanout.beginCatchUp(func() { b.fanout.ready++ }) // as by a channel
		if !behind {
			t.Fatal("nothing to catch up with")
		}
		go func() { caughtUp <- b.fanout.delayed(from, to) }()
		marks := <-caughtUp
		must(t, b.sendLater("second", time.Hour))
		b.fanout.mu.Lock()
		b.fanout.ready--
		b.fanout.mu.Unlock()
		b.fanout.endCatchUp(marks, nil)
		c := b.channel(t, "c")
		if s := c.Stats(); s.Depth != 0 || s.Deferred != 2 {
			t.Errorf("depth %d, deferred %d", s.Depth, s.Deferred)
		}
		b.close(t)
	})
}

func TestLimitOfChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d", func(b *bench) { b.options.Common.MaxChannels = 2 })
		b.channel(t, "a")
		b.channel(t, "b")
		b.channel(t, "a")
		var limit *LimitError
		if _, err := b.Channel("c"); !errors.As(err, &limit) || limit.Error() != "limit of 2 channels of topic t reached (--max-channels)" {
			t.Errorf("%v", err)
		}
		if err := b.Learn("c"); !errors.As(err, &limit) {
			t.Errorf("%v", err)
		}
		must(t, b.DeleteChannel("a"))
		b.channel(t, "c")
		b.close(t)
	})
}

func TestClientsMakeNoChannelsWhereTheyMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d", func(b *bench) { b.options.Common.NoAutoCreate = true })
		if _, err := b.ChannelForClient("c"); err != ErrNoAutoCreate {
			t.Error(err)
		}
		if _, err := b.TailChannelForClient("c#ephemeral"); err != ErrNoAutoCreate {
			t.Error(err)
		}
		c := b.channel(t, "c")
		if got, err := b.ChannelForClient("c"); got != c || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		b.close(t)
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d")
		_, err := b.ChannelForClient("c")
		must(t, err)
		b.close(t)
	})
}

// TestTailTakesNothingAwayFromOthers.
func TestTailTakesNothingAwayFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d")
		var refused *TailError
		if _, err := b.TailChannel("tail"); !errors.As(err, &refused) || refused.Error() != "tail refused: 0 messages wait for a first channel" {
			t.Error(err)
		}
		b.channel(t, "c")
		tail, err := b.TailChannelForClient("tail")
		must(t, err)
		again, err := b.TailChannel("tail")
		must(t, err)
		if again != tail {
			t.Error("the tail is made twice")
		}
		must(t, b.Pause())
		must(t, b.send("m"))
		if _, err := b.TailChannel("tail"); !errors.As(err, &refused) || refused.Error() != "tail refused: the topic is paused and 1 message waits in it" {
			t.Error(err)
		}
		b.close(t)
	})
}

func TestEphemeralChannelEndsWithItsLastConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d")
		c, kept := b.channel(t, "c#ephemeral"), b.channel(t, "kept")
		k := subscribe(t, c)
		b.ConsumerLeft(c)
		b.ConsumerLeft(kept)
		if names := channelNames(b.Topic); len(names) != 2 {
			t.Errorf("channels %q", names)
		}
		k.Close()
		b.ConsumerLeft(c)
		b.ConsumerLeft(c)
		if names := channelNames(b.Topic); !slices.Equal(names, []string{"kept"}) {
			t.Errorf("channels %q", names)
		}
		b.close(t)
	})
}

// TestRestartKnowsWhatOnlyEphemeralChannelsHad: it does not come again.
func TestRestartKnowsWhatOnlyEphemeralChannelsHad(t *testing.T) {
	for name, end := range map[string]func(*bench){
		"the channel is deleted": func(b *bench) { must(b.t, b.DeleteChannel("c#ephemeral")) },
		"the process stops":      func(*bench) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, crashfs.New(1), "/d")
				c := b.channel(t, "c#ephemeral")
				must(t, b.send("had"))
				wantWaiting(t, c, "had")
				end(b)
				b.restart(t)
				if d := b.Stats().Depth; d != 0 {
					t.Errorf("%d messages wait", d)
				}
				must(t, b.send("new"))
				wantWaiting(t, b.channel(t, "c"), "new")
				b.close(t)
			})
		})
	}
}

func TestEphemeralTopicKeepsSoManyWhileNobodyTakesThemAndEndsWithItsLastChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, vfs.NewMem(), "/d", ephemeral, func(b *bench) { b.options.Common.MemQueueSize = 3 })
		must(t, b.Publish(batchOf(2, 10)))
		must(t, b.Publish(batchOf(5, 10)))
		if s := b.Stats(); s.Depth != 3 || s.Dropped != 4 || s.MessageCount != 7 || s.MessageBytes != 70 {
			t.Errorf("%+v", s)
		}
		c := b.channel(t, "c")
		if n := len(drain(t, c)); n != 3 {
			t.Errorf("%d messages", n)
		}
		if b.CloseIfAbandoned() {
			t.Error("abandoned with a channel")
		}
		must(t, b.DeleteChannel("c"))
		if got := b.told(); got[len(got)-1] != "abandoned" {
			t.Errorf("told %q", got)
		}
		if !b.CloseIfAbandoned() {
			t.Error("not abandoned without a channel")
		}
		if err := b.send("m"); err != channel.ErrExiting {
			t.Errorf("published: %v", err)
		}
		if _, err := b.Channel("c"); err != channel.ErrExiting {
			t.Errorf("channel: %v", err)
		}
		b.close(t)
	})
}

func TestEphemeralTopicGivesMemoryBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, vfs.NewMem(), "/d", ephemeral, smallSegments)
		c := b.channel(t, "c")
		for range 100 {
			must(t, b.Publish(batchOf(1, 20<<10)))
			drain(t, c)
		}
		if n := b.o.Log.Bytes(); n > 128<<10 {
			t.Errorf("the log takes %d bytes", n)
		}
		b.close(t)
	})
}

func TestBackendDepthIsWhatIsNotInMemory(t *testing.T) {
	for hot, want := range map[int]int64{0: 10, 10000: 0} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, crashfs.New(1), "/d", func(b *bench) { b.hot = hot })
			must(t, b.Publish(batchOf(10, 10)))
			if s := b.Stats(); s.Depth != 10 || s.BackendDepth != want {
				t.Errorf("%+v, %d in memory", s, hot)
			}
			c := b.channel(t, "c")
			s := c.Stats()
			if n := b.BackendDepth(&s); n != want {
				t.Errorf("backend depth %d, %d in memory", n, hot)
			}
			drain(t, c)
			s = c.Stats()
			if n := b.BackendDepth(&s); n != 0 {
				t.Errorf("backend depth %d of nothing", n)
			}
			b.close(t)
		})
	}
}

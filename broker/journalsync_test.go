package broker

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// The journal is synced before any segment and with every tick, so that what
// was synced can be reached after a power cut.

// openSynced is a node whose topics and channels were there before.
func openSynced(t *testing.T, disk *crashfs.FS) *Broker {
	b := open(t, disk)
	getChannel(t, b, "old", "c")
	must(t, b.Close())
	return open(t, disk)
}

func TestPowerLossLosesNoTopicOrChannelOlderThanTwoTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := openSynced(t, disk)
		getChannel(t, b, "idle", "c")
		getChannel(t, b, "new", "c")
		must(t, publish(getTopic(t, b, "new"), "m"))
		getChannel(t, b, "old", "new")
		must(t, publish(getTopic(t, b, "old"), "n"))
		must(t, b.DeleteTopic("idle"))
		must(t, publish(getTopic(t, b, "idle"), "of the successor"))
		time.Sleep(4 * time.Second)
		synctest.Wait()
		disk.Crash(crashfs.DropAll)
		_ = b.Close() // its disk is gone

		b = open(t, disk)
		defer b.Close()
		for _, want := range []struct{ topic, channel, body string }{
			{"new", "c", "m"}, {"old", "c", "n"}, {"old", "new", "n"}, {"idle", "c", "of the successor"},
		} {
			tp, ok := b.Existing(want.topic)
			if !ok {
				t.Errorf("topic %s is gone", want.topic)
				continue
			}
			c, ok := tp.ExistingChannel(want.channel)
			if want.topic == "idle" {
				if ok {
					t.Error("a topic came back as its predecessor")
				}
				c = getChannel(t, b, "idle", "c")
			} else if !ok {
				t.Errorf("channel %s of %s is gone", want.channel, want.topic)
				continue
			}
			if got := subscribe(t, c, 10).takeAll(); len(got) != 1 || got[0].body != want.body {
				t.Errorf("%s, %s: got %v, want %q", want.topic, want.channel, got, want.body)
			}
		}
	})
}

// configureTopic sets settings of a topic as the API does.
func configureTopic(b *Broker, name, body string) error {
	return b.Change(Change{Op: state.ConfigureTopic, Topic: name, Settings: body})
}

// wantSet wants settings of topic t and its channel c to be set.
func wantSet(t *testing.T, b *Broker, topic, channel string) {
	t.Helper()
	set, _, err := b.TopicConfig("t")
	must(t, err)
	chosen, _, err := b.ChannelConfig("t", "c")
	must(t, err)
	if set.String() != topic || chosen.String() != channel {
		t.Errorf("set is %s and %s, want %s and %s", set, chosen, topic, channel)
	}
}

// TestPowerLossForgetsNoSettings that are older than two ticks, or that were set where each
// publish is synced, or before something that was: what is kept was published as they say.
func TestPowerLossForgetsNoSettings(t *testing.T) {
	ticks := func(*Broker) { time.Sleep(4 * time.Second) }
	publishes := func(b *Broker) { must(t, publish(getTopic(t, b, "t"), "m")) }
	const channel = `{"ordered":"key"}`
	for _, tt := range []struct {
		name, settings string
		every          int64
		then           func(*Broker)
	}{
		{"idle", `{"dedup_window":"2m"}`, 2500, ticks},
		{"idle", `{"max_age":"1h","retention_time":"24h"}`, 2500, ticks},
		{"all is synced", `{"dedup_window":"2m"}`, 1, func(*Broker) {}},
		{"the topic is synced", `{"sync":"always","dedup_window":"2m"}`, 2500, publishes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				options := func(o *Options) { o.SyncEvery = tt.every }
				b := open(t, disk, options)
				getChannel(t, b, "t", "c")
				ticks(b)
				must(t, configureTopic(b, "t", tt.settings))
				must(t, configureChannel(b, "t", "c", channel))
				tt.then(b)
				disk.Crash(crashfs.DropAll)
				_ = b.Close() // its disk is gone
				b = open(t, disk, options)
				wantSet(t, b, tt.settings, channel)
				must(t, b.Close())
			})
		})
	}
}

// At no operation of the disk may a record be synced whose topic or channel is
// not.
func TestPowerLossAtAnyOperationLeavesNoRecordWithoutItsTopic(t *testing.T) {
	for at := int64(1); ; at++ {
		synctest.Test(t, func(t *testing.T) {
			disk := newDisk(t, uint64(at))
			b := openSynced(t, disk)
			var left atomic.Int64
			left.Store(at)
			disk.Fail(func(crashfs.Op, string) error {
				if left.Add(-1) == 0 {
					disk.Crash(crashfs.DropAll)
				}
				return nil
			})
			for i := range 3 {
				tp, err := b.Topic(fmt.Sprint("t", i))
				if err != nil {
					break
				}
				if _, err = tp.Channel("c"); err == nil {
					_ = publish(tp, "m")
				}
				time.Sleep(1500 * time.Millisecond)
				synctest.Wait()
			}
			disk.Fail(nil)
			if left.Load() > 0 {
				disk.Crash(crashfs.DropAll)
				t.Logf("%d operations", at-left.Load())
				at = -1
			}
			_ = b.Close()
			b = open(t, disk)
			defer b.Close()
			wantEveryRecordServed(t, disk, b)
		})
		if t.Failed() || at < 0 {
			return
		}
	}
}

// wantEveryRecordServed checks that each segment with a record in it is that of
// a topic whose channel delivers it.
func wantEveryRecordServed(t *testing.T, disk *crashfs.FS, b *Broker) {
	t.Helper()
	served := make(map[string]bool)
	for _, tp := range b.Topics() {
		if c, ok := tp.ExistingChannel("c"); ok && len(subscribe(t, c, 10).takeAll()) == 1 {
			served[b.logDir(tp.Name(), tp.Incarnation())] = true
		}
	}
	for _, f := range disk.Files() {
		dir, _, ok := strings.Cut(f.Name, "/0")
		if !ok || !strings.HasPrefix(f.Name, dataPath+"/topics/t") || !strings.HasSuffix(f.Name, ".seg") {
			continue
		}
		if text, err := disk.ReadFile(f.Name); err == nil && strings.HasSuffix(strings.TrimRight(string(text), "\x00"), "m") && !served[dir] {
			t.Errorf("a record in %s is served by nobody", f.Name)
		}
	}
	if d := b.Damage(); !d.None() {
		t.Errorf("power was lost, and damage is %+v", d)
	}
}

func TestThousandTopicsShareTheSyncsOfTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		defer b.Close()
		for i := range 1000 {
			getChannel(t, b, fmt.Sprint("t", i), "c")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		var syncs atomic.Int64
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpSync && strings.HasPrefix(name, dataPath+"/journal/") {
				syncs.Add(1)
			}
			return nil
		})
		const ticks = 4
		for range ticks { // one message each 2 s in every topic
			for i := range 1000 {
				must(t, publish(getTopic(t, b, fmt.Sprint("t", i)), "m"))
				time.Sleep(2 * time.Millisecond)
			}
		}
		synctest.Wait()
		if n := syncs.Load(); n > ticks+1 {
			t.Errorf("%d syncs of the journal in %d ticks", n, ticks)
		}
	})
}

func TestPowerLossLeavesADeletedTopicWholeOrNotAtAll(t *testing.T) {
	for at := int64(1); ; at++ {
		synctest.Test(t, func(t *testing.T) {
			disk := newDisk(t, uint64(at))
			b := openSynced(t, disk)
			must(t, publish(getTopic(t, b, "old"), "m"))
			time.Sleep(4 * time.Second) // it is synced
			synctest.Wait()
			var left atomic.Int64
			left.Store(at)
			disk.Fail(func(crashfs.Op, string) error {
				if left.Add(-1) == 0 {
					disk.Crash(crashfs.DropAll)
				}
				return nil
			})
			_ = b.DeleteTopic("old")
			time.Sleep(4 * time.Second)
			synctest.Wait()
			disk.Fail(nil)
			if left.Load() > 0 {
				disk.Crash(crashfs.DropAll)
				t.Logf("%d operations", at-left.Load())
				at = -1
			}
			_ = b.Close() // its disk is gone
			b = open(t, disk)
			defer b.Close()
			if tp, ok := b.Existing("old"); ok {
				c, ok := tp.ExistingChannel("c")
				if !ok || len(subscribe(t, c, 10).takeAll()) != 1 {
					t.Error("the topic came back without its message")
				}
			}
			if d := b.Damage(); !d.None() {
				t.Errorf("power was lost, and damage is %+v", d)
			}
		})
		if t.Failed() || at < 0 {
			return
		}
	}
}

// A process that ended before the end of a topic was synced leaves the rest to
// the next one.
func TestPowerLossAfterAKillLeavesADeletedTopicWholeOrNotAtAll(t *testing.T) {
	for at := int64(1); ; at++ {
		synctest.Test(t, func(t *testing.T) {
			disk := newDisk(t, uint64(at))
			b := openSynced(t, disk)
			must(t, publish(getTopic(t, b, "old"), "m"))
			time.Sleep(4 * time.Second) // it is synced
			synctest.Wait()
			disk.Fail(func(op crashfs.Op, _ string) error {
				if op == crashfs.OpSync {
					disk.Kill()
				}
				return nil
			})
			must(t, b.DeleteTopic("old"))
			time.Sleep(4 * time.Second)
			_ = b.Close() // its process is gone
			var left atomic.Int64
			left.Store(at)
			disk.Fail(func(crashfs.Op, string) error {
				if left.Add(-1) == 0 {
					disk.Crash(crashfs.Random)
				}
				return nil
			})
			if b, err := Open(testOptions(disk.Mount())); err == nil {
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if left.Load() > 0 {
					t.Logf("%d operations", at-left.Load())
					at = -1
				}
				disk.Fail(nil)
				disk.Crash(crashfs.Random)
				_ = b.Close()
			}
			disk.Fail(nil)
			b = open(t, disk)
			defer b.Close()
			if tp, ok := b.Existing("old"); ok {
				c, ok := tp.ExistingChannel("c")
				if !ok || len(subscribe(t, c, 10).takeAll()) != 1 {
					t.Error("the topic came back without its message")
				}
			}
			wantNoDamage(t, b)
		})
		if t.Failed() || at < 0 {
			return
		}
	}
}

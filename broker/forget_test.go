package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
)

// What an end that nobody prepared for makes a node forget of its channels, and
// what it does not.

// answered is a node one of whose channels was given six messages: two are
// finished, one is put off, and one came back at once.
func answered(t *testing.T, disk *crashfs.FS) *Broker {
	t.Helper()
	b := open(t, disk)
	c := getChannel(t, b, "t", "c")
	must(t, publish(getTopic(t, b, "t"), numbered("m", 6)...))
	k := subscribe(t, c, 100)
	ds := k.takeAll()
	k.answer(channel.Finish, 0, ds[0], ds[3])
	k.answer(channel.Requeue, time.Hour, ds[1])
	k.answer(channel.Requeue, 0, ds[2])
	return b
}

// wantAnswered checks that a later node knows all of that.
func wantAnswered(t *testing.T, disk *crashfs.FS) {
	t.Helper()
	b := open(t, disk)
	defer b.Close()
	k := subscribe(t, getChannel(t, b, "t", "c"), 100)
	attempts := make(map[string]uint16)
	for _, d := range k.takeAll() {
		attempts[d.body] = d.attempts
	}
	if len(attempts) != 3 || attempts["m2"] != 2 || attempts["m4"] != 2 || attempts["m5"] != 2 {
		t.Errorf("attempts %v; want m2, m4 and m5 for the second time", attempts)
	}
	if s := k.c.Stats(); s.Deferred != 1 {
		t.Errorf("%d deferred, want 1", s.Deferred)
	}
}

func TestKillForgetsNoAnswerAndNoDeliveryOlderThan50ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := answered(t, disk)
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		kill(disk, b)
		wantAnswered(t, disk)
	})
}

func TestPowerLossForgetsNoAnswerAndNoDeliveryOlderThanTwoTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := answered(t, disk)
		time.Sleep(4 * time.Second) // of 2 s each
		synctest.Wait()
		disk.Crash(crashfs.DropAll)
		_ = b.Close() // its disk is gone
		wantAnswered(t, disk)
	})
}

func TestWhatEphemeralChannelsAloneFinishedIsForgottenByAKillOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*crashfs.FS, *Broker)
		want int
	}{
		"kill": {kill, 3},
		"stop": {func(_ *crashfs.FS, b *Broker) { _ = b.Close() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk)
				k := subscribe(t, getChannel(t, b, "t", "c#ephemeral"), 100)
				must(t, publish(getTopic(t, b, "t"), numbered("m", 3)...))
				k.answer(channel.Finish, 0, k.takeAll()...)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				tt.end(disk, b)
				b = open(t, disk)
				defer b.Close()
				if got := subscribe(t, getChannel(t, b, "t", "first"), 100).takeAll(); len(got) != tt.want {
					t.Errorf("%d messages came again, want %d", len(got), tt.want)
				}
			})
		})
	}
}

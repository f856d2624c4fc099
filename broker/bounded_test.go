package broker

import (
	"slices"
	"testing"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
	"qmq/topic"
)

// TestNumbersGoOnWhereABoundedChannelEnds: a start takes the numbers that such a channel does
// not get for none that were given out, whether it has had everything or not.
func TestNumbersGoOnWhereABoundedChannelEnds(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, disk *crashfs.FS, b *Broker){
		"stopped": func(t *testing.T, _ *crashfs.FS, b *Broker) { must(t, b.Close()) },
		"killed": func(t *testing.T, disk *crashfs.FS, b *Broker) {
			must(t, b.journal.Flush())
			kill(disk, b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(t, 1)
			b := open(t, disk)
			getChannel(t, b, "t", "c")
			must(t, publish(getTopic(t, b, "t"), "1", "2"))
			for _, part := range []string{"had", "waits"} {
				must(t, b.Change(Change{Op: state.CreateChannel, Topic: "t", Channel: part, Until: "last", Replay: new(topic.Replay)}))
			}
			finishAll(t, getChannel(t, b, "t", "had"), "1", "2")
			for range 3 {
				finishAll(t, getChannel(t, b, "t", "c"), "1", "2")
				stop(t, disk, b)
				b = open(t, disk)
				must(t, publish(getTopic(t, b, "t"), "1", "2"))
				if s := getChannel(t, b, "t", "had").Stats(); !s.Done || s.Depth != 0 {
					t.Errorf("%+v", s)
				}
			}
			finishAll(t, getChannel(t, b, "t", "waits"), "1", "2")
			must(t, b.Close())
		})
	}
}

// finishAll takes and finishes everything of a channel.
func finishAll(t *testing.T, c *channel.Channel, want ...string) {
	t.Helper()
	k := subscribe(t, c, 10)
	defer k.Close()
	ds := k.takeAll()
	if got := bodies(ds); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, err := range k.answer(channel.Finish, 0, ds...) {
		if err != nil {
			t.Error(err)
		}
	}
}

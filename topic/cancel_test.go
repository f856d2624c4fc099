package topic

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// newest is the id of the message that was published last.
func (b *bench) newest() message.ID { return message.MakeID(b.o.IDPrefix, b.fanout.committed()-1) }

// What is cancelled while the first channel is made is delivered to nobody, or it is said
// that somebody got it.
func TestCancellingIsBeforeOrAfterTheFirstChannel(t *testing.T) {
	b := newBench(t, crashfs.New(1), "/d")
	for round := range 200 {
		body := fmt.Sprint("m", round)
		must(t, b.send(body))
		id := b.newest()
		var making sync.WaitGroup
		var got []delivery
		making.Go(func() {
			c, err := b.Channel("c")
			must(t, err)
			k := subscribe(t, c)
			got = k.takeAll()
			k.finish(t, got...)
			k.Close()
		})
		c, err := b.Cancel(id)
		making.Wait()
		cancelled := c.Waiting || c.Count(IsCancelled) > 0
		switch {
		case err != nil && !errors.Is(err, channel.ErrNoMessage):
			t.Fatal(err)
		case cancelled == (len(got) > 0):
			t.Fatalf("round %d: %+v, %v; delivered: %q", round, c, err, bodies(got))
		}
		if c, err := b.Cancel(id); !errors.Is(err, channel.ErrNoMessage) {
			t.Fatalf("once more: %+v, %v", c, err)
		}
		must(t, b.DeleteChannel("c"))
	}
	b.close(t)
}

func TestWhatWaitsInTheTopicIsCancelledOnce(t *testing.T) {
	b := newBench(t, crashfs.New(1), "/d")
	must(t, b.send("a"))
	must(t, b.send("x"))
	id := b.newest()
	must(t, b.send("b"))
	if c, err := b.Cancel(id); err != nil || !c.Waiting || len(c.Channels) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := b.Cancel(id); !errors.Is(err, channel.ErrNoMessage) || c.Waiting {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := b.Cancelled(id); err != nil || !c.Waiting {
		t.Errorf("whether it was cancelled: %+v, %v", c, err)
	}
	if c, err := b.Cancelled(b.newest()); !errors.Is(err, channel.ErrNoMessage) {
		t.Errorf("whether another one was cancelled: %+v, %v", c, err)
	}
	b.restart(t)
	wantWaiting(t, b.channel(t, "c"), "a", "b")
	b.close(t)
}

// A replicated topic that does not find a message looks once more when its node has heard
// that it still leads, and says nothing otherwise.
func TestReplicatedTopicDeniesAMessageOnlyWhereItLeads(t *testing.T) {
	whileReplicated(t, func(t *testing.T, b *bench, a *agreed) {
		b.channel(t, "c")
		id := message.MakeID(b.o.IDPrefix, b.o.Log.End())
		if _, err := b.Cancel(id); !errors.Is(err, channel.ErrNoMessage) {
			t.Error(err)
		}
		a.refuse = errors.New("another one leads")
		if _, err := b.Cancel(id); !errors.Is(err, a.refuse) {
			t.Error(err)
		}
	})
}

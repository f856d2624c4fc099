package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestChannelsLearntUnderLoadGetEveryMessageOnce: while publishers publish, some
// with delay, a consumer finishes what its channel gets and the topic is paused
// and unpaused, two channels are learnt, before the topic is released in one
// case and after the first question failed in the other.
func TestChannelsLearntUnderLoadGetEveryMessageOnce(t *testing.T) {
	const count = 2700
	var all, soon []string // soon are those that are not deferred
	for n, body := range numbered("a message of some length ", count) {
		all = append(all, body)
		if n%7 != 0 {
			soon = append(soon, body)
		}
	}
	slices.Sort(soon)
	for name, test := range map[string]struct {
		first        error // of the first question
		segmentBytes int64 // that let nothing go which channels learnt later need
	}{
		"held": {nil, 1 << 10},
		"late": {errNobody, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			busy, learnt := make(chan struct{}), make(chan struct{})
			var asked atomic.Int64
			d := &directory{answer: func(context.Context, string) ([]string, error) {
				if n := asked.Add(1); n == 1 && test.first != nil {
					return nil, test.first
				}
				<-busy
				return []string{"a", "b"}, nil
			}}
			d.told = func(event string) {
				if event == "+t/b" {
					close(learnt)
				}
			}
			b := open(t, newDisk(t, 1), with(d), func(o *Options) { o.SegmentBytes = test.segmentBytes })
			defer func() { must(t, b.Close()) }()
			tp := getTopic(t, b, "t")
			own := getChannel(t, b, "t", "own")
			k := subscribe(t, own, 1<<20)
			var publishing, other sync.WaitGroup
			published := make(chan struct{})
			for i := range 3 {
				publishing.Go(func() {
					for n := i; n < count; n += 3 {
						if n == count/3+i {
							<-busy
						}
						if n%7 == 0 {
							must(t, publishDeferred(tp, all[n], time.Hour))
						} else {
							must(t, publish(tp, all[n]))
						}
						if n == count/6 {
							close(busy)
						}
					}
				})
			}
			other.Go(func() {
				for open := true; open; {
					select {
					case <-published:
						open = false
					default:
					}
					must(t, errors.Join(tp.Pause(), tp.Unpause()))
				}
			})
			var mine []string
			other.Go(func() {
				for len(mine) < len(soon) {
					ds := k.takeAll()
					k.finish(t, ds...)
					if mine = append(mine, bodies(ds)...); len(ds) == 0 {
						<-k.wake
					}
				}
			})
			publishing.Wait()
			close(published)
			other.Wait()
			k.Close()
			<-learnt
			for _, c := range tp.Channels() {
				got := mine
				if c != own {
					k := subscribe(t, c, 1<<20)
					got = bodies(k.takeAll())
					k.Close()
				}
				if slices.Sort(got); !slices.Equal(got, soon) {
					t.Errorf("%s got %d messages, want %d", c.Name(), len(got), len(soon))
				}
				if s := c.Stats(); s.Deferred != count-len(soon) {
					t.Errorf("%s has %d deferred messages, want %d", c.Name(), s.Deferred, count-len(soon))
				}
			}
		})
	}
}

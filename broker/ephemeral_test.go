package broker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestFinsOfEphemeralChannelsOutliveAStopButNoKill: where all channels of a
// topic are #ephemeral the journal hears of what they were given at a stop. A
// kill gives everything that is still in the log to the first channel again,
// and loses nothing.
func TestFinsOfEphemeralChannelsOutliveAStopButNoKill(t *testing.T) {
	for name, killed := range map[string]bool{"stop": false, "kill": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk)
				k := subscribe(t, getChannel(t, b, "t", "c#ephemeral"), 100)
				must(t, publish(getTopic(t, b, "t"), numbered("m", 3)...))
				k.finish(t, k.takeAll()...)
				time.Sleep(time.Minute)
				synctest.Wait()
				want := numbered("m", 3)
				if killed {
					kill(disk, b)
				} else {
					must(t, b.Close())
					want = nil
				}
				b = open(t, disk)
				defer b.Close()
				must(t, publish(getTopic(t, b, "t"), "new"))
				k = subscribe(t, getChannel(t, b, "t", "d"), 100)
				if got := bodies(k.takeAll()); !slices.Equal(got, append(want, "new")) {
					t.Errorf("the next channel gets %v", got)
				}
			})
		})
	}
}

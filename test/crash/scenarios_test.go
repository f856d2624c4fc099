package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"qmq/message"
)

// The scenarios are functions of a daemon, so that the same one shows
// that the good daemon keeps its promise and that a broken one is caught.

// quietPlan is one topic with one channel, published in two steps.
func quietPlan(messages int) plan {
	return plan{
		messages: messages, kills: 1, seed: 1, limit: 5 * time.Minute, drain: time.Minute,
		topics: []topicPlan{{name: "quiet", percent: 100, channels: []channelPlan{{name: "c", consumers: 2}}}},
	}
}

// loadScenario is the ordinary load with two kills.
func loadScenario(t *testing.T, s subject) *ledger {
	p := wholeLoad(150_000, 2, 1)
	p.drain = 15 * time.Second
	return runLoad(t, s, p)
}

// cutScenario: everything is finished, and the journal knows it; then the log
// loses its end, as it may when power fails. What is published afterwards must
// not take the numbers that the journal takes for finished. The messages take
// less than the 1 MiB from which on a log that everybody has finished goes.
func cutScenario(t *testing.T, s subject) *ledger {
	x, ctx := begin(t, s, quietPlan(3_000))
	x.mood.orderly.Store(true)
	x.build(ctx)
	x.connect(ctx)
	x.step(ctx, 1)
	x.awaitIdle(ctx)
	wait(ctx, sure)
	x.hold(true)
	x.must(x.d.died())
	x.d.kill()
	x.must(cutNewestSegment(x.d.data, 500))
	x.must(x.d.start(ctx))
	x.step(ctx, 2)
	x.restart(ctx)
	x.hold(false)
	x.awaitIdle(ctx)
	return x.finish()
}

// clockScenario: the system clock is set back, and a topic is deleted and
// created again, so that its numbers begin below those that its predecessor's
// acknowledgements are about. It must be a patchedDaemon.
func clockScenario(t *testing.T, s subject) *ledger {
	x, ctx := begin(t, s, quietPlan(20_000))
	x.mood.orderly.Store(true)
	x.build(ctx)
	x.connect(ctx)
	x.step(ctx, 1)
	x.awaitIdle(ctx)
	wait(ctx, sure)
	x.hold(true)
	x.d.env = append(x.d.env, clockVariable+"=-1h")
	x.restart(ctx)
	tl := x.l.topics[0]
	x.must(x.recreate(operation{topic: tl.name, hit: tl.channels}))
	x.step(ctx, 2)
	x.restart(ctx)
	x.hold(false)
	x.awaitIdle(ctx)
	return x.finish()
}

func TestWhatIsPublishedAfterTheLogLostItsEndIsDelivered(t *testing.T) {
	cutScenario(t, subject{bin: goodDaemon(t)}).require(t)
}

func TestARecreatedTopicIsNotTakenForItsPredecessor(t *testing.T) {
	clockScenario(t, subject{bin: patchedDaemon(t)}).require(t)
}

// segmentHeader is where the records of a segment start.
const segmentHeader = 4096 + 64

// cutNewestSegment cuts the last n records, and half of the one before, off
// the newest segment of the only topic.
func cutNewestSegment(data string, n int) error {
	paths, err := filepath.Glob(filepath.Join(data, "topics", "*", "*.seg"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return errors.New("no segment in " + data)
	}
	path := slices.MaxFunc(paths, func(a, b string) int {
		if filepath.Base(a) < filepath.Base(b) {
			return -1
		}
		return 1
	})
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	starts := recordStarts(b)
	if len(starts) <= n {
		return fmt.Errorf("%s holds %d records, want more than %d", path, len(starts), n)
	}
	last := starts[len(starts)-n-1]
	size, _ := message.Size(b[last:])
	return os.Truncate(path, int64(last+size/2))
}

// recordStarts finds the records of a segment by their lengths and numbers.
func recordStarts(segment []byte) (starts []int) {
	seq := uint64(0)
	for at := segmentHeader; len(segment)-at >= message.HeaderSize; {
		size, ok := message.Size(segment[at:])
		if !ok || at+size > len(segment) {
			break
		}
		next := message.SeqOf(segment[at:])
		if len(starts) > 0 && next != seq+1 {
			break
		}
		starts = append(starts, at)
		seq = next
		at += size
	}
	return starts
}

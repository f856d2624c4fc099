package cluster

import (
	"fmt"
	"time"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
)

// ruleDiskFills is about what is to come: in spite of the line, the node runs.
const ruleDiskFills = "disk_fills"

// When a disk needs attention, and when it does no more.
const (
	diskLow     = 0.10 // of it is free
	diskEnough  = 0.12
	fullSoon    = time.Hour
	notSoonFull = 90 * time.Minute
	diskCalm    = time.Minute
)

// disk is the file system that a node's messages are on.
type disk struct {
	known      bool
	free, used int64  // bytes
	trend      depths // of what is used
}

// take takes what a node says of its disk.
func (d *disk) take(s *nodeclient.Stats, at time.Time) {
	if d.known = s.DiskFree != nil && s.DiskUsed != nil; d.known {
		d.free, d.used = *s.DiskFree, *s.DiskUsed
		d.trend.add(at, d.used)
	}
}

// fiveMinutes is over how long a disk has to fill, in steps: a build or a merge is no trend.
const fiveMinutes = 10

// fullIn is when it will be full if it goes on filling as it does now, or as it did for five
// minutes where that was slower; 0: it does not fill, or that is not known for so long.
func (d *disk) fullIn() time.Duration {
	if !d.known || !d.trend.knows(fiveMinutes) {
		return 0
	}
	rate := min(d.trend.fillRate(), float64(d.trend.since(fiveMinutes))/(fiveMinutes*depthStep).Seconds())
	if rate <= 0 {
		return 0
	}
	return time.Duration(min(float64(d.free)/rate, (1000*time.Hour).Seconds()) * float64(time.Second))
}

// share of it that is free.
func (d *disk) share() float64 { return float64(d.free) / max(1, float64(d.free+d.used)) }

// diskInputs: a disk has little room, or will have none soon. What a node is that is silent
// nobody knows.
func (c *Cluster) diskInputs(inputs []alertInput, n *node) []alertInput {
	low, fills := nodeAlert("disk_low", LevelWarn, n), nodeAlert(ruleDiskFills, LevelCrit, n)
	d := &n.disk
	if !d.known || n.missed > 0 {
		for _, l := range []Alert{low, fills} {
			if was := c.alerts.known[l.ID]; was != nil {
				inputs = append(inputs, alertInput{alert: *was}) // nobody knows that it is over
			}
		}
		return inputs
	}
	low.Text = fmt.Sprintf("%s of the disk is free: %s", words.Percent(float64(d.free), float64(d.free+d.used)), words.Bytes(d.free))
	low.ValueText, low.Unit = words.Percent(float64(d.free), float64(d.free+d.used)), "free"
	low.affected = float64(n.sums.held())
	in := d.fullIn()
	fills.Text = fmt.Sprintf("The disk is full in %s at this rate: %s are free", words.Duration(in), words.Bytes(d.free))
	fills.ValueText, fills.Unit = words.Duration(in), "until full"
	fills.affected = low.affected
	return append(inputs,
		alertInput{alert: low, starts: d.share() < diskLow, ends: d.share() >= diskEnough, after: diskCalm, past: "Less than a tenth of the disk was free for {d}"},
		alertInput{alert: fills, starts: in > 0 && in < fullSoon, ends: in == 0 || in > notSoonFull, after: diskCalm, past: "The disk filled so fast for {d} that it would have been full within the hour"})
}

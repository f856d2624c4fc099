package fromnsq

import (
	"context"
	"hash/maphash"
	"iter"
	"log/slog"

	"qmq/internal/nsqdata"
	"qmq/internal/vfs"
)

// stretch is a stretch of a queue, and whose.
type stretch struct {
	nsqdata.Stretch
	topic   int // of the directory's
	channel int // of the topic's; ofTopic: it is the topic's own queue
}

const ofTopic = -1

// index is all messages of a directory, sorted: topic by topic, in each first those
// of its channels, then those that no channel has got yet, both by their ids.
type index struct {
	nsqd      *nsqdata.Directory
	stretches []stretch
	sorter    sorter
	broken    []nsqdata.Broken
}

// keepsQueueOrder says that what is in the topic's own queue stays behind what its channels
// have: it is paused, or has none. Else nsqd was about to give it to all of them.
func keepsQueueOrder(t *nsqdata.Topic) bool { return t.Paused || len(t.Channels) == 0 }

// group is where the entries of a stretch belong: of each topic there are two groups,
// of which the second one stands behind where its channels' view ends.
func (x *index) group(s *stretch) uint32 {
	group := 2 * uint32(s.topic)
	if s.channel == ofTopic && keepsQueueOrder(x.nsqd.Topics[s.topic]) {
		group++
	}
	return group
}

func newIndex(d *nsqdata.Directory) *index {
	x := &index{nsqd: d}
	for i, t := range d.Topics {
		for _, s := range t.Queue.Stretches {
			x.stretches = append(x.stretches, stretch{s, i, ofTopic})
		}
		for j, c := range t.Channels {
			for _, s := range c.Queue.Stretches {
				x.stretches = append(x.stretches, stretch{s, i, j})
			}
		}
	}
	return x
}

// entriesInMemory is how many entries are sorted at a time: 24 MiB.
const entriesInMemory = 512 << 10

// contextEvery is after how many messages it is looked whether to stop.
const contextEvery = 4096

// read reads all messages of nsqd's files, and sorts them with the help of files in
// dir.
func (x *index) read(ctx context.Context, o *Options, dir string, p *progress) error {
	x.sorter = sorter{fs: o.FS, dir: dir, most: entriesInMemory}
	seed := maphash.MakeSeed()
	fsys := vfs.ReadOnly(o.FS)
	for i := range x.stretches {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s := &x.stretches[i]
		e := entry{group: x.group(s), stretch: uint32(i)}
		broken, err := nsqdata.Scan(fsys, s.Stretch, func(r *nsqdata.Record) error {
			e.size, e.id, e.timestamp, e.hash = uint32(len(r.Body)), r.ID, r.Timestamp, maphash.Bytes(seed, r.Body)
			e.offset, e.attempts = r.Offset, r.Attempts
			if err := x.sorter.add(&e); err != nil {
				return err
			}
			return p.advance(ctx, int64(len(r.Body)+nsqdata.HeadSize))
		})
		if err != nil {
			return err
		}
		if broken != nil {
			x.broken = append(x.broken, *broken)
			o.Logger.Warn("a part of a file of nsqd's holds no messages and is passed over, as nsqd does", slog.String("path", broken.Path),
				slog.Int64("offset", broken.At), slog.Int64("bytes", broken.Bytes), slog.String("reason", broken.Text))
		}
	}
	return x.sorter.end()
}

// messages passes on the entries of one message after those of another; with an error
// the last ones. What it passes on is valid until the next ones.
func (x *index) messages() iter.Seq2[[]entry, error] {
	return func(yield func([]entry, error) bool) {
		var same []entry
		for e, err := range x.sorter.all() {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(same) > 0 && compareMessages(&same[0], e) != 0 {
				if !yield(same, nil) {
					return
				}
				same = same[:0]
			}
			same = append(same, *e)
		}
		if len(same) > 0 {
			yield(same, nil)
		}
	}
}

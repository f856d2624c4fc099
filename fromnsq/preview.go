package fromnsq

import (
	"context"
	"errors"
	"fmt"
	"io"

	"qmq/internal/nsqdata"
	"qmq/internal/vfs"
)

// Preview tells what a Start with mode On would do, and changes nothing: it reads all
// that Start would read. The error is one that Start would end with.
func Preview(ctx context.Context, o Options, out io.Writer) error {
	s, err := look(o.FS, o.DataPath)
	switch {
	case err != nil:
		return err
	case s.ready:
		fmt.Fprintf(out, "All of nsqd's messages in %s are imported; the next start moves nsqd's files to %s.\n", o.DataPath, AsideName)
		return nil
	case !s.nsqd:
		fmt.Fprintf(out, "There is nothing of an nsqd in %s.\n", o.DataPath)
		return nil
	case s.q != "":
		fmt.Fprintf(out, "Nothing is imported: nsqd's files in %s are beside data of Q (%s).\n", o.DataPath, s.q)
		return nil
	case o.Member:
		return ErrMember
	}
	lock, err := o.FS.Lock(o.DataPath)
	if err != nil {
		return fmt.Errorf("failed to lock data-path: %w", err)
	}
	m := &move{Options: o}
	return errors.Join(m.preview(ctx, out), lock.Close())
}

func (m *move) preview(ctx context.Context, out io.Writer) error {
	fsys := vfs.ReadOnly(m.FS)
	d, err := nsqdata.Read(fsys, m.DataPath)
	if err != nil {
		return err
	}
	v := &preview{ctx: ctx, fs: fsys, out: out}
	for _, t := range d.Topics {
		if err := v.topic(t); err != nil {
			return err
		}
	}
	for _, f := range d.Flaws {
		fmt.Fprintf(out, "%s: %s.\n", f.Path, f.Text)
	}
	for _, b := range v.broken {
		fmt.Fprintf(out, "%s: %d bytes from offset %d on hold no messages (%s) and are passed over.\n", b.Path, b.Bytes, b.At, b.Text)
	}
	least := leastRoom(newIndex(d)) + roomMore
	fmt.Fprintf(out, "%d topics with %d messages in nsqd's queues. What several channels have is stored once: it takes %d to %d MB on the disk beside nsqd's files.\n",
		len(d.Topics), v.messages, least>>20+1, (least+v.bytes)>>20+1)
	if err := m.checkFreeSpace(least - roomMore); err != nil {
		return err
	}
	fmt.Fprintf(out, "A start with --import=on imports this, and moves nsqd's files to %s.\n", AsideName)
	return nil
}

// preview is what was read for a Preview.
type preview struct {
	ctx      context.Context
	fs       vfs.FS
	out      io.Writer
	messages int64
	bytes    int64 // that they take in Q's logs, were each stored by itself
	broken   []nsqdata.Broken
}

func (v *preview) topic(t *nsqdata.Topic) error {
	if err := v.queue("topic "+t.Name, t.Paused, &t.Queue); err != nil {
		return err
	}
	for _, c := range t.Channels {
		if err := v.queue("  channel "+c.Name, c.Paused, &c.Queue); err != nil {
			return err
		}
	}
	return nil
}

// queue tells of one queue, all of which it reads.
func (v *preview) queue(what string, paused bool, q *nsqdata.Queue) error {
	n, tried := int64(0), int64(0)
	for _, s := range q.Stretches {
		broken, err := nsqdata.Scan(v.fs, s, func(r *nsqdata.Record) error {
			if n++; n%contextEvery == 0 && v.ctx.Err() != nil {
				return context.Cause(v.ctx)
			}
			if r.Attempts > 0 {
				tried++
			}
			v.bytes += recordMore + int64(len(r.Body))
			return nil
		})
		if err != nil {
			return err
		}
		if broken != nil {
			v.broken = append(v.broken, *broken)
		}
	}
	v.messages += n
	text := fmt.Sprintf("%s: %d messages", what, n)
	if tried > 0 {
		text += fmt.Sprintf(", %d of them delivered before", tried)
	}
	if paused {
		text += ", paused"
	}
	_, err := fmt.Fprintln(v.out, text)
	return err
}

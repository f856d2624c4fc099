package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"qmq/internal/archive"
	"qmq/internal/tcpclient"
)

// topicArchive puts the messages of one topic into files and finishes them when
// they are on the disk. Each node has a goroutine that calls take.
type topicArchive struct {
	topic string
	raw   bool   // bodies instead of objects
	fail  func() // ends the consuming

	mu       sync.Mutex // guards what follows; held while files are written and synced
	writer   *archive.Writer
	unsynced []receipt // written and not known to be on the disk
	stopping bool      // nothing is kept waiting any more
	failed   error     // why nothing is archived any more
	line     []byte
}

// receipt is what finishes a message.
type receipt struct {
	from *tcpclient.Subscription
	id   tcpclient.ID
}

// take writes messages. Many are synced at once.
func (t *topicArchive) take(messages []tcpclient.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for i := range messages {
		m := &messages[i]
		if t.failed == nil {
			if err := t.write(now, m); err != nil {
				t.broke(err)
			}
		}
		if t.failed != nil { // it is not written, or cut off again
			m.From.Requeue(m.ID, 0)
			continue
		}
		t.unsynced = append(t.unsynced, receipt{m.From, m.ID})
	}
	if t.failed != nil {
		messages[0].From.Flush()
		return
	}
	if t.stopping || messages[0].From.Starved() {
		t.sync()
	}
}

// write writes one message, into a new file if one is due. The caller holds t.mu.
func (t *topicArchive) write(now time.Time, m *tcpclient.Message) error {
	if t.writer.Due(now) {
		t.sync()
		if t.failed != nil {
			return t.failed
		}
		if err := t.writer.Finish(); err != nil {
			return err
		}
	}
	if t.raw {
		return t.writer.Append(now, m.Body)
	}
	t.line = recordOf(m, t.topic, "").appendTo(t.line[:0])
	return t.writer.Append(now, t.line)
}

// sync finishes what is on the disk then. The caller holds t.mu.
func (t *topicArchive) sync() {
	if t.failed != nil || len(t.unsynced) == 0 {
		return
	}
	if err := t.writer.Sync(); err != nil {
		t.broke(err)
		return
	}
	touched := make(map[*tcpclient.Subscription]bool, 1)
	for _, r := range t.unsynced {
		r.from.Finish(r.id)
		touched[r.from] = true
	}
	t.unsynced = t.unsynced[:0]
	for s := range touched {
		s.Flush()
	}
}

// broke gives back what is not on the disk and ends the archiving. The caller
// holds t.mu.
func (t *topicArchive) broke(err error) {
	path := t.writer.Path()
	if path == "" {
		path = "a file of topic " + t.topic
	}
	t.failed = fmt.Errorf("cannot write %s: %w; %s given back; make room or mend it, and start again", path, err, plural(int64(len(t.unsynced)), "message"))
	if left := t.writer.Abandon(); left != nil {
		t.failed = fmt.Errorf("%w (%w)", t.failed, left)
	}
	for _, r := range t.unsynced {
		r.from.Requeue(r.id, 0)
		r.from.Flush()
	}
	t.unsynced = nil
	t.fail()
}

// keepSyncing syncs what waits, again and again.
func (t *topicArchive) keepSyncing(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.mu.Lock()
			t.sync()
			t.rotateIfDue()
			t.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// rotateIfDue completes a file that is due though nothing comes. The caller holds
// t.mu.
func (t *topicArchive) rotateIfDue() {
	if t.failed == nil && t.writer.Due(time.Now()) {
		if err := t.writer.Finish(); err != nil {
			t.broke(err)
		}
	}
}

// rotate syncs, and has the next message begin a new file.
func (t *topicArchive) rotate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sync()
	if t.failed == nil {
		if err := t.writer.Finish(); err != nil {
			t.broke(err)
		}
	}
}

// stop has nothing wait any more.
func (t *topicArchive) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopping = true
	t.sync()
}

// finish completes the file at the end.
func (t *topicArchive) finish() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sync()
	if t.failed != nil {
		return t.failed
	}
	return t.writer.Finish()
}

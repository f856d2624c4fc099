package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
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
	done  *archiveTally

	mu       sync.Mutex // guards what follows; held while files are written and synced
	writer   *archive.Writer
	unsynced []receipt // written and not known to be on the disk
	synced   fileDone  // what is on the disk of the file that is being written
	bytes    int64     // of the messages in unsynced
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
		t.bytes += int64(len(m.Body))
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
		if err := t.complete(); err != nil {
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
	t.synced.Messages, t.synced.Bytes = t.synced.Messages+int64(len(t.unsynced)), t.synced.Bytes+t.bytes
	t.done.messages.Add(int64(len(t.unsynced)))
	t.done.bytes.Add(t.bytes)
	t.bytes = 0
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
	kept, left := t.writer.Abandon()
	if kept != "" {
		left = errors.Join(left, t.tell(kept))
	}
	if left != nil {
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
		if err := t.complete(); err != nil {
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
		if err := t.complete(); err != nil {
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
	return t.complete()
}

// complete ends the file. The caller holds t.mu.
func (t *topicArchive) complete() error {
	path, err := t.writer.Finish()
	if path == "" || err != nil {
		return err
	}
	return t.tell(path)
}

// tell tells of a file that is complete. The caller holds t.mu.
func (t *topicArchive) tell(path string) error {
	file := t.synced
	file.File, file.Topic, t.synced = path, t.topic, fileDone{}
	return t.done.tell(file)
}

// fileDone is a file that is complete, as JSON says it.
type fileDone struct {
	File     string `json:"file"`
	Topic    string `json:"topic"`
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"` // of their bodies
}

// archiveTally sums up what is on the disk. Any goroutine may add to it.
type archiveTally struct {
	messages, bytes, files atomic.Int64

	mu sync.Mutex // held while to is written
	to io.Writer  // where files are told of, in JSON; nil: nowhere
}

func (a *archiveTally) tell(file fileDone) error {
	a.files.Add(1)
	if a.to == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return printJSON(a.to, file)
}

package admin

import (
	"encoding/json"
	"sync"
	"time"

	"qmq/admin/cluster"
)

// frames makes what viewers see: each view once an update, however many look at
// it. Its methods may be called concurrently.
type frames struct {
	s *Server

	mu     sync.Mutex // guards what follows; held while a view is made, not while it is sent
	update uint64     // that made are of
	made   map[cluster.View]made
}

// made is a view at one update.
type made struct {
	json    []byte // the whole frame; nil if there is no such thing
	head    frame  // without data, of the view of topics
	rows    rowsOf
	without []string
	entry   int64 // the newest, of the view of activity
	err     error
}

// maxMade bounds the views of one update that are kept for the next viewer.
const maxMade = 256

// get makes the frame of a view. Next is closed when there is a newer one.
func (f *frames) get(v cluster.View) (m made, update uint64, next <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var data any
	var head frame
	var cached bool
	update, next = f.s.collector.read(func(c *cluster.Cluster) {
		if f.update != f.s.collector.updates || f.made == nil || len(f.made) >= maxMade {
			f.update, f.made = f.s.collector.updates, make(map[cluster.View]made)
		}
		newest := f.s.activity.newest() // it changes between updates
		if m, cached = f.made[v]; cached && (v.Kind != "activity" || m.entry == newest) {
			return
		}
		m, cached = made{entry: newest}, false
		head = frame{At: c.UpdatedAt().UnixMilli(), View: v.Kind, Full: true, Bar: c.Bar(f.s.o.Cluster)}
		data = f.s.build(c, v)
	})
	if cached {
		return m, update, next
	}
	newest := m.entry
	m = encodeFrame(head, data)
	m.entry = newest
	f.made[v] = m
	return m, update, next
}

func encodeFrame(head frame, data any) (m made) {
	if data == nil {
		return made{}
	}
	if topics, ok := data.(*cluster.TopicsView); ok {
		m.head, m.without = head, topics.Without
		if m.rows, m.err = encodeRows(topics); m.err == nil {
			m.json, m.err = m.after(nil, true)
		}
		return m
	}
	head.Data = data
	m.json, m.err = json.Marshal(head)
	return m
}

// after is a frame of the view of topics with what is different from before.
func (m *made) after(before rowsOf, full bool) ([]byte, error) {
	changed, gone := m.rows.since(before)
	head := m.head
	head.Full = full
	head.Data = topicsData{changed, gone, m.without}
	return json.Marshal(head)
}

// look prepares what a view needs beyond what is polled: the consumers of a
// channel. It waits for them a moment if nobody has looked for a while.
func (f *frames) look(v cluster.View, timeout time.Duration) {
	if v.Kind != "channel" {
		return
	}
	var known <-chan struct{}
	f.s.collector.read(func(*cluster.Cluster) {
		known = f.s.collector.consumers.look(cluster.Pair{Topic: v.Topic, Channel: v.Channel}, time.Now())
	})
	if timeout <= 0 {
		return
	}
	wait := time.NewTimer(timeout)
	defer wait.Stop()
	select {
	case <-known:
		f.mu.Lock()
		delete(f.made, v)
		f.mu.Unlock()
	case <-wait.C:
	}
}

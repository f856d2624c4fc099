package journal

import (
	"slices"
	"time"
)

// noticeMarked makes marked sources due an Interval after the first was marked.
func (w *writer) noticeMarked(now time.Time) {
	w.j.mu.Lock()
	marked, since := len(w.j.marked) > 0 || len(w.j.ends) > 0, w.j.since
	w.j.mu.Unlock()
	if !marked {
		return
	}
	if w.dueAt = since.Add(w.j.o.Interval); !now.Before(w.dueAt) {
		w.takeMarked()
	}
}

func (w *writer) takeMarked() {
	w.dueAt = time.Time{}
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	w.due = append(w.due, w.j.marked...)
	clear(w.j.marked)
	w.j.marked = w.j.marked[:0]
	for _, e := range w.j.ends {
		w.ends = append(w.ends, e)
	}
	clear(w.j.ends)
}

// flush writes all that is marked now.
func (w *writer) flush() error {
	w.takeMarked()
	for len(w.due) > 0 || len(w.ends) > 0 {
		if err := w.changes(); err != nil {
			return err
		}
	}
	return nil
}

// changes asks sources that are due, as many as fill one write, and writes
// what they say. When that fails they will be asked for everything.
func (w *writer) changes() error {
	if err := w.ensureLog(); err != nil {
		w.failed(err)
		return err
	}
	room := w.roomForChanges()
	if room <= 0 {
		w.failed(w.full) // nobody is asked: what changed is kept where it is
		return w.full
	}
	w.addEnds()
	asked := 0
	w.told = w.told[:0]
	for ; asked < len(w.due) && int64(len(w.buf)) < min(room, int64(w.j.o.Bytes)); asked++ {
		w.ask(w.due[asked])
	}
	w.due = slices.Delete(w.due, 0, asked)
	if err := w.write(0, false); err != nil {
		for _, m := range w.told {
			w.j.Mark(m.source)
		}
		w.failed(err)
		return err
	}
	for _, m := range w.told {
		m.full = false
	}
	w.wrote()
	return nil
}

// addEnds appends what is known of the ends of topics' logs. Should it not be
// written, what is noted later will be.
func (w *writer) addEnds() {
	if len(w.ends) == 0 {
		return
	}
	w.buf = appendFrame(w.buf, w.log.salt, w.enc.Ends(w.ends))
	w.topology.NoteEnds(w.ends)
	w.ends = w.ends[:0]
}

// ask appends the changes of one source. The mark goes first: what changes
// during the call, or after it, marks again. A channel that is not there was
// deleted, or its creation is still to be committed: then all of its state
// follows with its next changes.
func (w *writer) ask(m *member) {
	w.j.mu.Lock()
	m.marked = false
	w.j.mu.Unlock()
	full := m.full
	m.full = true // until it is written
	ch := m.source.Changes(full)
	c := w.topology.Channel(ch.Topic, ch.Channel)
	if c == nil {
		return
	}
	c.Done = max(c.Done, ch.Floor)
	w.buf = appendFrame(w.buf, w.log.salt, w.enc.Changes(ch))
	w.told = append(w.told, m)
}

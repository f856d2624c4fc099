package journal

import "time"

// changesDue says whether sources are to be asked, or ends of logs written, and
// keeps when that will be so.
func (w *writer) changesDue(now time.Time) bool {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	due := w.j.collector.Due(now)
	w.dueAt = w.j.collector.DueAt()
	return due
}

// flush writes all that is marked now.
func (w *writer) flush() error {
	w.j.mu.Lock()
	w.j.collector.DueNow()
	w.j.mu.Unlock()
	for w.changesDue(time.Time{}) {
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
	w.told = w.told[:0]
	for int64(len(w.buf)) < min(room, int64(w.j.o.Bytes)) && w.askNext() {
	}
	if err := w.write(0, false); err != nil {
		w.j.mu.Lock()
		w.j.collector.Refused(w.told, time.Now())
		w.j.mu.Unlock()
		w.failed(err)
		return err
	}
	w.j.mu.Lock()
	w.j.collector.Written(w.told)
	w.j.mu.Unlock()
	w.wrote()
	return nil
}

// addEnds appends what is known of the ends of topics' logs. Should it not be
// written, what is noted later will be.
func (w *writer) addEnds() {
	w.j.mu.Lock()
	ends := w.j.collector.Ends()
	w.j.mu.Unlock()
	if len(ends) == 0 {
		return
	}
	w.buf = appendFrame(w.buf, w.log.salt, w.enc.Ends(ends))
	w.topology.NoteEnds(ends)
}

// askNext appends the changes of a source that is due, if there is one.
func (w *writer) askNext() bool {
	w.j.mu.Lock()
	source, full := w.j.collector.Next()
	w.j.mu.Unlock()
	if source == nil {
		return false
	}
	if record := w.topology.Changes(source.Changes(full)); record != nil {
		w.buf = appendFrame(w.buf, w.log.salt, record)
		w.told = append(w.told, source)
	}
	return true
}

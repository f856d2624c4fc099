package process

import (
	"bytes"
	"sync"
)

// lines takes what a process writes apart into lines.
type lines struct {
	mu   sync.Mutex    // guards what follows
	all  []string      // so far; only added to
	rest []byte        // behind the last whole line
	more chan struct{} // closed and replaced when a line has come
}

// Write takes the next bytes.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, after, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		l.rest = after
		l.add(string(line))
	}
}

// end makes a line of what no newline ended.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.add(string(l.rest))
		l.rest = nil
	}
}

// add is called with mu held.
func (l *lines) add(line string) {
	l.all = append(l.all, line)
	close(l.more)
	l.more = make(chan struct{})
}

// read returns the lines so far, which the caller must not change, and what is
// closed when there is another.
func (l *lines) read() (all []string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all, l.more
}

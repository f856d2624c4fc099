package main

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar shows how far long work is, where somebody looks at a terminal, and has what
// is written to it stand above that. One goroutine shows; any may write.
type bar struct {
	out     io.Writer
	w       progress.Writer // nil: nobody looks
	tracker *progress.Tracker
	done    chan struct{} // closed when nothing is shown any more

	mu    sync.Mutex // guards shown
	shown bool
}

// barFrequency is how often it is drawn.
const barFrequency = 200 * time.Millisecond

func newBar(out io.Writer) *bar {
	b := &bar{out: out}
	if !isTerminal(out) {
		return b
	}
	b.w = progress.NewWriter()
	b.w.SetOutputWriter(out)
	b.w.SetUpdateFrequency(barFrequency)
	b.w.SetTrackerPosition(progress.PositionRight)
	b.w.Style().Visibility.ETA = true
	b.w.Style().Visibility.Speed = true
	if colorful(out) {
		b.w.Style().Colors = progress.StyleColorsExample
	}
	return b
}

// begin begins another piece of work, of so many bytes.
func (b *bar) begin(name string, size int64) {
	b.track(&progress.Tracker{Message: name, Total: size, Units: progress.UnitsBytes})
}

// count begins work whose end nobody knows, on messages.
func (b *bar) count(name string) {
	b.track(&progress.Tracker{Message: name, Units: progress.UnitsDefault})
}

func (b *bar) track(t *progress.Tracker) {
	if b.w == nil {
		return
	}
	if b.tracker != nil {
		b.tracker.MarkAsDone()
	}
	b.tracker = t
	b.w.AppendTracker(t)
	if b.done != nil {
		return
	}
	b.show(true)
	b.done = make(chan struct{})
	go func() {
		defer close(b.done)
		b.w.Render()
	}()
}

// at tells how far it is.
func (b *bar) at(n int64) {
	if b.tracker != nil {
		b.tracker.SetValue(n)
	}
}

// during keeps showing what a number has come to, until stop.
func (b *bar) during(n func() int64) (stop func()) {
	if b.w == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(barFrequency)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				b.at(n())
			case <-end:
				b.at(n())
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// Write writes lines, above what is shown.
func (b *bar) Write(lines []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shown {
		b.w.Log(strings.TrimSuffix(string(lines), "\n"))
		return len(lines), nil
	}
	return b.out.Write(lines)
}

func (b *bar) show(shown bool) {
	b.mu.Lock()
	b.shown = shown
	b.mu.Unlock()
}

// end ends the showing. It may be called again.
func (b *bar) end() {
	if b.tracker == nil {
		return
	}
	b.show(false)
	b.tracker.MarkAsDone()
	b.tracker = nil
	for { // the writer hears nothing of it before it has begun
		b.w.Stop()
		select {
		case <-b.done:
			return
		case <-time.After(barFrequency / 20):
		}
	}
}

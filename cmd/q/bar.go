package main

import (
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// bar shows how far long work is, where somebody looks at a terminal.
type bar struct {
	w       progress.Writer // nil: nobody looks
	tracker *progress.Tracker
}

func newBar(out io.Writer) *bar {
	if !isTerminal(out) {
		return &bar{}
	}
	w := progress.NewWriter()
	w.SetOutputWriter(out)
	w.SetUpdateFrequency(200 * time.Millisecond)
	w.SetTrackerPosition(progress.PositionRight)
	w.Style().Visibility.ETA = true
	if colorful(out) {
		w.Style().Colors = progress.StyleColorsExample
	}
	return &bar{w: w}
}

// begin begins another piece of work, of so many bytes.
func (b *bar) begin(name string, size int64) {
	if b.w == nil {
		return
	}
	if b.tracker != nil {
		b.tracker.MarkAsDone()
	} else {
		go b.w.Render()
	}
	b.tracker = &progress.Tracker{Message: name, Total: size, Units: progress.UnitsBytes}
	b.w.AppendTracker(b.tracker)
}

// at tells how far it is.
func (b *bar) at(n int64) {
	if b.tracker != nil {
		b.tracker.SetValue(n)
	}
}

// end ends the showing. It may be called again.
func (b *bar) end() {
	if b.tracker == nil {
		return
	}
	b.tracker.MarkAsDone()
	b.tracker = nil
	b.w.Stop()
	for b.w.IsRenderInProgress() {
		time.Sleep(10 * time.Millisecond)
	}
}

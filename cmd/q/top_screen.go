package main

import (
	"context"
	"sync"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/jedib0t/go-pretty/v6/text"
)

// newScreen takes the terminal over, until Fini.
func newScreen() (tcell.Screen, error) {
	screen, err := tcell.NewScreen()
	if err != nil {
		return nil, err
	}
	return screen, screen.Init()
}

// topScreen shows a view on a terminal, and has keys and snapshots change it. All
// of it belongs to the goroutine of run; another asks the nodes, at most one at a
// time, and one reads the terminal.
type topScreen struct {
	view     *topView
	screen   tcell.Screen
	interval time.Duration
	color    bool
	ask      snapshotOf

	asking  bool
	again   bool // ask once more when the answer is there: something else is shown
	asker   sync.WaitGroup
	answers chan asked
	next    *time.Timer
}

// asked is what the nodes answered.
type asked struct {
	s   *snapshot
	err error
}

// run shows until ctx is done or somebody quits, and gives the terminal back.
func (p *topScreen) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	p.answers, p.next = make(chan asked, 1), time.NewTimer(0)
	events, stop := make(chan tcell.Event), make(chan struct{})
	p.asker.Go(func() { p.screen.ChannelEvents(events, stop) })
	defer func() {
		cancel()
		close(stop)
		p.screen.Fini() // the reading ends
		p.asker.Wait()
		p.next.Stop()
	}()
	p.view.resize(p.screen.Size())
	for {
		p.draw()
		select {
		case <-ctx.Done():
			return nil
		case event, more := <-events:
			if !more {
				return nil // the terminal is gone
			}
			if done, err := p.event(ctx, event); done || err != nil {
				return err
			}
		case <-p.next.C:
			p.askNow(ctx)
		case a := <-p.answers:
			if p.asking = false; ctx.Err() == nil {
				p.view.take(a.s, a.err)
			}
			if p.next.Reset(p.interval); p.again {
				p.askNow(ctx)
			}
		}
	}
}

// askNow asks the nodes, or once more if an answer is still to come.
func (p *topScreen) askNow(ctx context.Context) {
	if p.again = p.asking; p.again {
		return
	}
	p.asking = true
	p.next.Stop()
	wanted := p.view.wanted()
	p.asker.Go(func() {
		s, err := p.ask(ctx, wanted)
		p.answers <- asked{s, err}
	})
}

// event takes what the terminal says.
func (p *topScreen) event(ctx context.Context, event tcell.Event) (done bool, err error) {
	switch event := event.(type) {
	case *tcell.EventResize:
		p.view.resize(event.Size())
		p.screen.Sync()
	case *tcell.EventError:
		return true, event
	case *tcell.EventKey:
		switch p.view.key(keyName(event)) {
		case quit:
			return true, nil
		case suspend:
			return false, p.suspend()
		case askNow:
			p.askNow(ctx)
		}
	}
	return false, nil
}

// keyNames are the names of keys that are no characters.
var keyNames = map[tcell.Key]string{
	tcell.KeyEnter: "Enter", tcell.KeyEscape: "Esc", tcell.KeyBackspace: "Backspace", tcell.KeyBackspace2: "Backspace",
	tcell.KeyUp: "Up", tcell.KeyDown: "Down", tcell.KeyLeft: "Left", tcell.KeyRight: "Right",
	tcell.KeyPgUp: "PgUp", tcell.KeyPgDn: "PgDn", tcell.KeyHome: "Home", tcell.KeyEnd: "End",
	tcell.KeyCtrlC: "Ctrl-C", tcell.KeyCtrlZ: "Ctrl-Z",
}

func keyName(event *tcell.EventKey) string {
	if event.Key() == tcell.KeyRune {
		return string(event.Rune())
	}
	return keyNames[event.Key()]
}

// suspend gives the terminal back and stops the process, as Ctrl-Z does, until the
// shell lets it go on.
func (p *topScreen) suspend() error {
	if err := p.screen.Suspend(); err != nil {
		return err
	}
	stopProcess()
	return p.screen.Resume()
}

// draw puts the view on the screen.
func (p *topScreen) draw() {
	p.screen.Clear()
	for y, line := range p.view.lines() {
		style := p.style(line.look)
		x := 0
		for _, r := range line.text {
			p.screen.SetContent(x, y, r, nil, style)
			x += max(1, text.RuneWidth(r))
		}
		if line.look != marked {
			continue
		}
		for ; x < p.view.width; x++ { // the mark goes to the end of the line
			p.screen.SetContent(x, y, ' ', nil, style)
		}
	}
	p.screen.Show()
}

// style is how a line of some look is drawn.
func (p *topScreen) style(l look) tcell.Style {
	s := tcell.StyleDefault
	switch l {
	case heading:
		return s.Bold(true)
	case marked:
		return s.Reverse(true)
	case dimmed:
		return s.Dim(true)
	case alarming:
		if p.color {
			s = s.Foreground(tcell.ColorRed)
		}
		return s.Bold(true)
	}
	return s
}

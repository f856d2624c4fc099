package main

import (
	"sync"
	"time"

	"qmq/internal/tcpclient"
)

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
)

// pace has fewer messages come while destinations fail: none for a time that
// grows with each failure, then one, and all again when one was taken.
type pace struct {
	consumer *tcpclient.Consumer
	full     int // messages under way when all is well

	mu     sync.Mutex    // guards what follows
	pause  time.Duration // the next one
	timer  *time.Timer   // ends the pause under way; nil: there is none
	trying bool          // one message at a time
	ended  bool
}

// sent tells how a message fared.
func (p *pace) sent(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended || p.timer != nil:
		// What was under way when the pause began changes nothing.
	case well && p.trying:
		p.trying, p.pause = false, 0
		p.consumer.SetInFlight(p.full)
	case well:
		p.pause = 0
	default:
		p.pause = min(maxPause, max(firstPause, 2*p.pause))
		p.consumer.SetInFlight(0)
		p.timer = time.AfterFunc(p.pause, p.try)
	}
}

// try has one message come.
func (p *pace) try() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer, p.trying = nil, true
	if !p.ended {
		p.consumer.SetInFlight(1)
	}
}

// stop ends the changes.
func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

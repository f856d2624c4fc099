package server

import (
	"errors"
	"time"

	"qmq/server/stream"
)

// A command may take commandTime, and timePerPiece for each piece of it that has
// come, from its first byte on, whatever the heartbeats: nobody holds memory for
// ever without sending.
const (
	commandTime  = 30 * time.Second
	timePerPiece = time.Second
	commandPiece = 64 << 10 // bytes
	limitSlack   = time.Second
)

// Why a client is not waited for any longer.
var (
	errSilent     = errors.New("heard nothing from the client for two heartbeat intervals")
	errUnfinished = errors.New("the client took too long for a command")
	errNoAuth     = errors.New("the client did not say in time who it is")
)

// expireReads sets the deadline of the next read. before is when the session
// was last ready to read; the time since is not the client's.
func (s *session) expireReads(before time.Time) {
	now := time.Now()
	by, why := s.readBy(before, now)
	if by.IsZero() {
		if !s.readExpires.IsZero() {
			s.readExpires = time.Time{}
			s.conn.SetReadDeadline(time.Time{})
		}
		return
	}
	s.expired = why
	slack := limitSlack
	if why == errSilent {
		slack = stream.DeadlineSlack(s.timeout)
	}
	if s.readExpires.Before(by) || s.readExpires.After(by.Add(slack)) {
		s.readExpires = by.Add(slack)
		s.conn.SetReadDeadline(s.readExpires)
	}
}

// readBy is when something must have come, and why; zero: whenever it likes.
func (s *session) readBy(before, now time.Time) (by time.Time, why error) {
	if s.timeout > 0 {
		by, why = now.Add(s.timeout), errSilent
	}
	if s.conn.In.Consumed() {
		s.begun = time.Time{}
	}
	if n := s.conn.In.Unfinished(); n > 0 {
		if s.begun.IsZero() {
			s.begun = before
		}
		s.begun = s.begun.Add(now.Sub(before))
		if end := s.begun.Add(commandTime + time.Duration(n/commandPiece)*timePerPiece); why == nil || end.Before(by) {
			by, why = end, errUnfinished
		}
	}
	if s.tcp.o.Auth != nil && s.terms.auth == nil {
		if end := s.since.Add(s.tcp.o.AuthTimeout); why == nil || end.Before(by) {
			by, why = end, errNoAuth
		}
	}
	return by, why
}

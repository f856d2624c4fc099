package server

import (
	"time"

	"qmq/protocol"
)

// startHeartbeats begins sending heartbeats at the session's interval.
func (s *session) startHeartbeats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeat = time.AfterFunc(s.interval, s.beat)
	if s.closed || s.interval == 0 {
		s.heartbeat.Stop()
	}
}

// beat sends one heartbeat and arms the timer for the next.
func (s *session) beat() {
	s.mu.Lock()
	if s.closed || s.interval == 0 {
		s.mu.Unlock()
		return
	}
	s.tcp.wg.Add(1) // not closed, so the reading goroutine is still counted
	s.mu.Unlock()
	defer s.tcp.wg.Done()

	if s.conn.Out.Heartbeat(protocol.HeartbeatFrame) != nil {
		s.shut()
		return
	}
	s.mu.Lock()
	if !s.closed && s.interval > 0 {
		s.heartbeat.Reset(s.interval)
	}
	s.mu.Unlock()
}

// answerIdentify sends the last frame of the answer to an IDENTIFY and from
// then on keeps to the interval that it agreed on, 0 for no heartbeats and no
// deadlines. Since they were muted before, no heartbeat comes in between.
func (s *session) answerIdentify(frame []byte, interval time.Duration) error {
	if err := s.conn.Out.WriteAndUnmute(frame, interval); err != nil {
		return err
	}
	s.timeout, s.readExpires = 2*interval, time.Time{}
	if interval == 0 {
		s.conn.SetReadDeadline(time.Time{})
	}
	s.mu.Lock()
	s.interval = interval
	s.heartbeat.Stop()
	if interval > 0 && !s.closed {
		s.heartbeat.Reset(interval)
	}
	s.mu.Unlock()
	return nil
}

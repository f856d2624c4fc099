package server

import (
	"errors"

	"qmq/protocol"
	"qmq/server/stream"
)

// terms are what a session and its client have agreed on.
type terms struct {
	tls             *TLS // nil without; it does not change
	snappy, deflate bool
	sampleRate      int  // per cent; 0 for all
	headers         bool // with messages that have any
	auth            *authTerms
}

// agree changes the terms. Only the reading goroutine does, and so it may read
// them without the lock.
func (s *session) agree(change func(*terms)) {
	s.mu.Lock()
	change(&s.terms)
	s.mu.Unlock()
}

// mayUpgrade refuses what cannot be had any more: each encoding is put on
// once, and TLS is never inside a compression.
func (s *session) mayUpgrade(settings *protocol.Settings) *protocol.Error {
	compressed := s.terms.snappy || s.terms.deflate
	if settings.TLS && (s.terms.tls != nil || compressed) || (settings.Snappy || settings.Deflate) && compressed {
		return protocol.IdentifyFailed("the connection is upgraded already")
	}
	return nil
}

// changeStreams carries out what an IDENTIFY agreed on. Each step is answered
// in the new encoding. What the client sent behind its IDENTIFY is taken as in
// the new encoding too: under TLS, nothing that came in clear is ever obeyed.
func (s *session) changeStreams() error {
	to := s.upgrade
	s.upgrade = nil
	steps := make([]func() error, 0, 2)
	if to.TLS {
		steps = append(steps, s.useTLS)
	}
	if to.Snappy {
		steps = append(steps, s.useSnappy)
	}
	if to.Deflate {
		steps = append(steps, func() error { return s.useDeflate(to.DeflateLevel) })
	}
	for i, step := range steps {
		if err := step(); err != nil {
			if s.stopping.Load() {
				return errors.Join(stream.ErrStopping, err)
			}
			return protocol.IdentifyFailed(err.Error())
		}
		if i < len(steps)-1 {
			if err := s.conn.Out.Write([]byte(protocol.OKFrame)); err != nil {
				return err
			}
		}
	}
	return s.answerIdentify([]byte(protocol.OKFrame), to.HeartbeatInterval)
}

func (s *session) useSnappy() error {
	s.conn.StartSnappy()
	s.agree(func(t *terms) { t.snappy = true })
	return nil
}

func (s *session) useDeflate(level int) error {
	s.conn.StartDeflate(level)
	s.agree(func(t *terms) { t.deflate = true })
	return nil
}

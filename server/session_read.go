package server

import (
	"qmq/channel"
	"qmq/protocol"
)

// carryOut parses all complete commands that were read and carries them out.
// Publishes and answers to messages are gathered and done together; the other
// commands act at their place in the order. All replies go out in one write.
func (s *session) carryOut() error {
	in := s.conn.In.Bytes()
	if len(in) == 0 {
		return nil
	}
	c := takeCommandBatch()
	defer c.give()
	now := s.tcp.broker.Clock().Wall()
	guarded := s.tcp.o.Auth != nil

	var cmd protocol.Command
	done, longest, announced := 0, 0, 0
	for done < len(in) {
		n, all, fatal := s.parser.Parse(in[done:], &cmd)
		if guarded {
			if refused := s.refusePublish(&cmd, n > 0); refused != nil {
				fatal = refused
			}
		}
		if fatal == nil && n == 0 {
			announced = all // the rest of the command has not come yet
			break
		}
		done += n
		longest = max(longest, n)
		var err error = fatal
		if fatal == nil {
			err = s.do(c, &cmd, now)
		}
		if err != nil {
			// What came before a mistake is still carried out and answered.
			if failed := s.finishBatch(c); failed != nil {
				return failed
			}
			return err
		}
		if s.upgrade != nil {
			break // what follows is in another encoding
		}
	}
	if err := s.finishBatch(c); err != nil {
		return err
	}
	s.conn.In.Consume(done)
	s.conn.In.Expect(longest, announced)
	return nil
}

// do gathers the command or carries it out. Its error ends the connection.
func (s *session) do(c *commandBatch, cmd *protocol.Command, now int64) error {
	switch cmd.Kind {
	case protocol.Pub, protocol.Dpub, protocol.Mpub, protocol.Hpub, protocol.Hmpub:
		if err := s.gatherPublish(c, cmd, now); err != nil {
			return err
		}
	case protocol.Fin:
		c.addAnswer(cmd, channel.Finish)
	case protocol.Req:
		c.addAnswer(cmd, channel.Requeue)
	case protocol.Touch:
		c.addAnswer(cmd, channel.Touch)
	case protocol.Rdy:
		c.ready = cmd.Count // only the last one matters
	case protocol.Nop:
	default:
		if err := s.finishBatch(c); err != nil {
			return err
		}
		if err := s.awaitStarted(); err != nil {
			return err
		}
		return s.control(cmd)
	}
	if c.full() {
		return s.finishBatch(c)
	}
	return nil
}

// control carries out a command that changes the session.
func (s *session) control(cmd *protocol.Command) error {
	switch cmd.Kind {
	case protocol.Identify:
		return s.identify(cmd.Body)
	case protocol.Sub:
		return s.subscribe(string(cmd.Topic), string(cmd.Channel))
	case protocol.Cls:
		return s.startClosing()
	case protocol.Auth:
		return s.authenticate(string(cmd.Body))
	}
	return nil
}

// finishBatch does what was gathered and sends the replies. Publishes come
// first, so that a message answered behind a publish is not finished before
// the publish is stored. RDY comes before the answers: a lower one holds for
// what they free. The error is of the connection.
func (s *session) finishBatch(c *commandBatch) error {
	switch {
	case c.empty():
		return nil
	case c.onlyStarts():
		return s.startBatch(c)
	}
	if err := s.awaitStarted(); err != nil {
		return err
	}
	s.publish(c)
	standsIn := false
	if len(c.answers) > 0 || c.ready >= 0 {
		k := s.joined // there is one, or the parser would have refused
		if c.ready >= 0 {
			s.ready = c.ready
			k.SetReady(c.ready)
		}
		standsIn = len(c.answers) > 0 && s.ready <= maxFewReady && s.conn.Out.CanTry() && s.delivery.StandIn()
		k.Answer(c.answers)
		s.traces.answered(c.answers)
	}
	c.appendReplies()
	c.forget() // a client that does not read must not hold it
	s.conn.In.Unreserve()
	var err error
	if len(c.out) > 0 {
		err = s.conn.Out.Write(c.out)
	}
	c.out = c.out[:0]
	if standsIn && err == nil {
		err = s.deliverAnswered()
	}
	return err
}

// setState changes what the client may do, for the parser and for /stats.
func (s *session) setState(state protocol.State) {
	s.parser.State = state
	s.state.Store(int32(state))
}

// startClosing is CLS: the client gets nothing new, but may still answer what
// it has.
func (s *session) startClosing() error {
	s.joined.SetReady(0)
	s.setState(protocol.StateClosing)
	return s.writeAfterDelivery([]byte(protocol.CloseWaitFrame))
}

// writeAfterDelivery writes a frame behind the messages that were taken before.
func (s *session) writeAfterDelivery(frame []byte) error {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	return s.conn.Out.Write(frame)
}

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
	r := takeRound()
	defer r.give()
	now := s.tcp.broker.Clock().Wall()

	var cmd protocol.Command
	done, longest, announced := 0, 0, 0
	for done < len(in) {
		n, all, fatal := s.parser.Parse(in[done:], &cmd)
		if fatal == nil && n == 0 {
			announced = all // the rest of the command has not come yet
			break
		}
		done += n
		longest = max(longest, n)
		var err error = fatal
		if fatal == nil {
			err = s.do(r, &cmd, now)
		}
		if err != nil {
			// What came before a mistake is still carried out and answered.
			if failed := s.finishRound(r); failed != nil {
				return failed
			}
			return err
		}
		if s.upgrade != nil {
			break // what follows is in another encoding
		}
	}
	if err := s.finishRound(r); err != nil {
		return err
	}
	s.conn.In.Consume(done)
	s.conn.In.Expect(longest, announced)
	return nil
}

// do gathers the command or carries it out. Its error ends the connection.
func (s *session) do(r *round, cmd *protocol.Command, now int64) error {
	switch cmd.Kind {
	case protocol.Pub, protocol.Dpub:
		if s.parser.MayPublish != nil {
			if refused := s.mayPublish(cmd.Kind, cmd.Topic); refused != nil {
				return refused
			}
		}
		if err := s.gatherPublish(r, cmd, now); err != nil {
			return err
		}
	case protocol.Mpub:
		if err := s.gatherPublish(r, cmd, now); err != nil { // the parser has asked whether it may
			return err
		}
	case protocol.Fin:
		r.addAnswer(cmd, channel.Finish)
	case protocol.Req:
		r.addAnswer(cmd, channel.Requeue)
	case protocol.Touch:
		r.addAnswer(cmd, channel.Touch)
	case protocol.Rdy:
		r.ready = cmd.Count // only the last one of a round matters
	case protocol.Nop:
	default:
		if err := s.finishRound(r); err != nil {
			return err
		}
		return s.control(cmd)
	}
	if r.full() {
		return s.finishRound(r)
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

// finishRound does what was gathered and sends the replies. Publishes come
// first, so that a message answered behind a publish is not finished before
// the publish is stored. RDY comes before the answers: a lower one holds for
// what they free. The error is of the connection.
func (s *session) finishRound(r *round) error {
	s.publish(r)
	standsIn := false
	if len(r.answers) > 0 || r.ready >= 0 {
		k := s.consumer.Load() // there is one, or the parser would have refused
		if r.ready >= 0 {
			s.ready = r.ready
			k.SetReady(r.ready)
		}
		standsIn = len(r.answers) > 0 && s.ready <= maxFewReady && s.conn.Out.CanTry() && s.delivery.answering()
		k.Answer(r.answers)
	}
	r.appendReplies()
	r.forget() // a client that does not read must not hold it
	s.conn.In.Unreserve()
	var err error
	if len(r.out) > 0 {
		err = s.conn.Out.Write(r.out)
	}
	r.out = r.out[:0]
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
	s.consumer.Load().SetReady(0)
	s.setState(protocol.StateClosing)
	return s.writeAfterDelivery([]byte(protocol.CloseWaitFrame))
}

// writeAfterDelivery writes a frame behind the messages that were taken before.
func (s *session) writeAfterDelivery(frame []byte) error {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	return s.conn.Out.Write(frame)
}

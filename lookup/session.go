package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"qmq/internal/address"
	"qmq/internal/version"
	"qmq/protocol"
)

// Bounds of a connection.
const (
	// maxIdentify is the longest body of an IDENTIFY in bytes; those of NSQ's
	// nodes have a few hundred.
	maxIdentify = 64 << 10
	// minInput is what a connection reads into, and keeps for its replies,
	// while nothing needs more.
	minInput = 4 << 10
	// helloTimeout is how long a connection may take until it has identified
	// itself, whatever else it says. After that it may be silent: a node that is
	// gone is noticed by TCP's keep-alive, and one that sends no PING is only
	// hidden.
	helloTimeout = time.Minute
	// writeTimeout is how long a peer may take to make room for its replies.
	writeTimeout = 10 * time.Second
	// lingerTimeout is how long a connection stays open after a fatal error
	// for the peer to read about it.
	lingerTimeout = time.Second
)

// session is the connection of one producer. All of it but conn belongs to the
// goroutine that runs it.
type session struct {
	tcp    *TCP
	conn   net.Conn
	remote string // the peer's address

	in       []byte // in[:n] was read and not yet parsed
	n        int
	out      []byte // replies to what was parsed
	parser   protocol.LookupParser
	producer *producer // nil until IDENTIFY
	refused  bool      // its IDENTIFY was
}

func newSession(t *TCP, conn net.Conn) *session {
	remote := ""
	if a := conn.RemoteAddr(); a != nil { // nil when the peer has gone already
		remote = a.String()
	}
	return &session{
		tcp:    t,
		conn:   conn,
		remote: remote,
		parser: protocol.LookupParser{MaxBodySize: maxIdentify},
	}
}

// run serves the connection to its end and takes the producer from the DB.
func (s *session) run() {
	defer s.conn.Close()
	err := s.converse()
	if s.producer != nil {
		s.producer.leave()
	}
	log := s.tcp.o.Logger.With(slog.String("client", s.remote))
	if s.producer != nil {
		log.Info("producer left", slog.Any("reason", err))
	} else {
		log.Debug("client left", slog.Any("reason", err))
	}
	var fatal *protocol.Error
	if !errors.As(err, &fatal) {
		return
	}
	level := slog.LevelWarn
	if s.refused && !s.tcp.refusals.isNew(s.remote, fatal.Error()) {
		level = slog.LevelDebug // it tries again and again
	}
	log.Log(context.Background(), level, "client made a fatal error", slog.Any("error", fatal))
	s.out = protocol.AppendLookupReply(s.out, fatal.Error())
	if s.flush() == nil {
		s.linger()
	}
}

// converse reads and carries out commands until the connection ends, and says
// why it did. Replies to the commands before a fatal error may be left in out.
func (s *session) converse() error {
	if err := s.readMagic(); err != nil {
		return err
	}
	for {
		if err := s.carryOut(); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.fill(); err != nil {
			if cut := s.truncated(err); cut != nil {
				return cut
			}
			return err
		}
	}
}

// readMagic waits for the four bytes that say which protocol the peer speaks.
func (s *session) readMagic() error {
	s.expectWithin(helloTimeout)
	for s.n < len(protocol.LookupMagic) {
		if err := s.fill(); err != nil {
			return err
		}
	}
	if string(s.in[:len(protocol.LookupMagic)]) != protocol.LookupMagic {
		return protocol.BadProtocol()
	}
	s.consume(len(protocol.LookupMagic))
	return nil
}

// carryOut obeys all commands that were read whole.
func (s *session) carryOut() error {
	done := 0
	for {
		var cmd protocol.LookupCommand
		n, _, refusal := s.parser.Parse(s.in[done:s.n], &cmd)
		if refusal == nil && n > 0 {
			done += n
			refusal = s.obey(&cmd)
		}
		if refusal != nil {
			return refusal
		}
		if n == 0 {
			break
		}
	}
	s.consume(done)
	return nil
}

func (s *session) obey(cmd *protocol.LookupCommand) *protocol.Error {
	switch cmd.Kind {
	case protocol.LookupIdentify:
		err := s.identify(cmd.Body)
		s.refused = err != nil
		return err
	case protocol.LookupRegister:
		s.producer.register(string(cmd.Topic), string(cmd.Channel))
		s.logChange("registered", cmd)
	case protocol.LookupUnregister:
		s.producer.unregister(string(cmd.Topic), string(cmd.Channel))
		s.logChange("unregistered", cmd)
	case protocol.LookupPing:
		if s.producer != nil {
			s.producer.heardOf()
			s.producer.says(string(cmd.Rest))
			s.warnOfTwin()
		}
	}
	s.out = protocol.AppendLookupReply(s.out, protocol.LookupOK)
	return nil
}

// identify makes the peer a producer.
func (s *session) identify(body []byte) *protocol.Error {
	var in introduction
	if json.Unmarshal(body, &in) != nil {
		return protocol.LookupBadBody("failed to decode JSON body")
	}
	id, o := in.Identity, &s.tcp.o
	switch {
	case !sameSecret(in.Secret, valueOf(o.RegistrationSecret)):
		return protocol.LookupUnauthorized()
	case id.BroadcastAddress == "" || id.TCPPort == 0 || id.HTTPPort == 0 || id.Version == "":
		return protocol.LookupBadBody("missing fields")
	case id.impossible() != "":
		return protocol.LookupBadBody(id.impossible())
	case impossibleViews(in.Views) != "":
		return protocol.LookupBadBody(impossibleViews(in.Views))
	}
	id.BroadcastAddress = address.Bare(id.BroadcastAddress) // consumers put the brackets where they need them
	answer, _ := json.Marshal(IdentifyAnswer{               // strings and numbers always marshal
		BroadcastAddress: o.BroadcastAddress,
		Hostname:         o.Hostname,
		HTTPPort:         o.HTTPPort,
		TCPPort:          o.TCPPort,
		Version:          version.Number,
	})
	s.out = protocol.AppendLookupReply(s.out, answer)
	s.producer = s.tcp.db.join(s.remote, id, in.Views...)
	if in.Taking != nil && in.Taking.isValid() {
		s.producer.take(*in.Taking)
	}
	s.parser.Identified = true
	s.conn.SetReadDeadline(time.Time{})
	o.Logger.Info("producer identified", slog.String("client", s.remote), slog.String("address", id.BroadcastAddress),
		slog.Int("tcp", id.TCPPort), slog.Int("http", id.HTTPPort), slog.String("version", id.Version))
	return nil
}

func (s *session) logChange(what string, cmd *protocol.LookupCommand) {
	if log := s.tcp.o.Logger; log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug(what, slog.String("client", s.remote), slog.String("topic", string(cmd.Topic)), slog.String("channel", string(cmd.Channel)))
	}
}

// truncated is the fatal error of a stream that ended within a command; nil if
// it did not.
func (s *session) truncated(err error) error {
	if errors.Is(err, io.EOF) && s.n > 0 {
		if cut := s.parser.Truncated(s.in[:s.n]); cut != nil {
			return cut
		}
	}
	return nil
}

// expectWithin gives the peer that long for its next step.
func (s *session) expectWithin(d time.Duration) { s.conn.SetReadDeadline(time.Now().Add(d)) }

// fill waits for more bytes. The buffer grows as they arrive, as far as the
// parser lets a command go.
func (s *session) fill() error {
	if s.n == len(s.in) {
		grown := make([]byte, max(minInput, min(2*len(s.in), protocol.MaxLine+4+maxIdentify)))
		copy(grown, s.in[:s.n])
		s.in = grown
	}
	n, err := s.conn.Read(s.in[s.n:])
	s.n += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// consume drops what was parsed, and a buffer that has become too large.
func (s *session) consume(n int) {
	s.n = copy(s.in, s.in[n:s.n])
	if len(s.in) > minInput && s.n < minInput {
		s.in = append(make([]byte, 0, minInput), s.in[:s.n]...)[:minInput]
	}
}

// flush sends the replies.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(s.out)
	if s.out = s.out[:0]; cap(s.out) > minInput {
		s.out = nil
	}
	return err
}

// linger waits for the peer to close, and throws away what it still sends:
// closing a connection with unread bytes in it would reset it, and the peer
// might never see the error.
func (s *session) linger() {
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	s.expectWithin(lingerTimeout)
	waste := make([]byte, minInput)
	for {
		if _, err := s.conn.Read(waste); err != nil {
			return
		}
	}
}

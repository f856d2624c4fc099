package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"qmq/broker"
	"qmq/internal/wake"
	"qmq/protocol"
	"qmq/server/stream"
)

// session is one client's connection.
//
// Its reading goroutine parses and carries out commands, and may send the
// messages that an answer makes room for; its delivering goroutine, which
// exists only while needed, writes all others; its answering goroutine, likewise,
// answers publishes that others have a part in; its heartbeat timer writes heartbeats. Whoever finds that the connection has failed calls
// shut; the reading goroutine then ends by itself.
type session struct {
	id     uint64
	tcp    *TCP
	conn   stream.Conn
	remote string // the client's address
	since  time.Time

	// Set once by SUB, by the reading goroutine. The delivering goroutine and shut
	// read the consumer, which points to joined; nobody else reads left.
	consumer  atomic.Pointer[broker.Consumer]
	joined    broker.Consumer
	left      func() // to be called when the consumer was closed; may be nil
	leaveOnce sync.Once
	delivery  wake.State // of the delivering goroutine
	late      lateErrors
	// delivering is held from taking messages until they are written. It guards
	// frames.
	delivering   sync.Mutex
	frames       frames
	deliverySize atomic.Int32 // how large the last delivery's buffer was
	traces       *traces      // nil: nothing is traced

	state    atomic.Int32 // a protocol.State, written by the reading goroutine
	stopping atomic.Bool  // the server is closing

	// mu guards the fields from client to closed; it is never held across I/O.
	// Only the reading goroutine changes client, terms and interval, and so it
	// reads them without mu.
	mu        sync.Mutex
	client    clientInfo
	terms     terms
	published map[string]uint64 // messages by topic
	heartbeat *time.Timer
	interval  time.Duration // of heartbeats; 0 when disabled
	closed    bool          // shut was called

	// Of the reading goroutine alone.
	parser      protocol.Parser
	readExpires time.Time     // the read deadline that is set on conn; zero: none, or another's
	expired     error         // what it means when it passes
	begun       time.Time     // when the unfinished command was; zero without one
	timeout     time.Duration // how long the client may say nothing; 0 for ever
	tail        bool          // its SUB takes nothing away from others
	msgTimeout  time.Duration
	// defaultTimeout says that the client did not ask for msgTimeout.
	defaultTimeout bool
	ready          int64              // the last RDY count
	lastTopic      namedPublisher     // the last one published to
	started        *started           // publishes that are under way; nil: there was never one
	upgrade        *protocol.Settings // agreed on and still to be carried out
	mayTopic       grantedTopic
}

// clientInfo is what a client says of itself in IDENTIFY.
type clientInfo struct {
	id, hostname, userAgent string
	zone, region            string
}

func newSession(t *TCP, id uint64, conn net.Conn) *session {
	remote := remoteOf(conn)
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	s := &session{
		id:         id,
		tcp:        t,
		remote:     remote,
		since:      time.Now(),
		client:     clientInfo{id: host, hostname: host},
		interval:   t.o.HeartbeatInterval,
		msgTimeout: t.o.MsgTimeout, defaultTimeout: true,
	}
	s.traces = newTraces(t.o.Tracer, remote)
	s.parser.Limits = t.o.limits()
	s.parser.NeedsTLS = t.o.TLSRequired
	s.timeout = 2 * s.interval
	s.conn.Init(conn, stream.Options{
		MaxCommand: protocol.MaxLine + int(s.parser.Limits.MaxCommand()),
		Unfinished: t.o.Unfinished,
		Stop:       t.stop,
	})
	s.conn.Out.SetTimeout(s.interval)
	s.deliverySize.Store(stream.ReadBuffer)
	return s
}

// remoteOf is the address of a client.
func remoteOf(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil { // nil when the client has gone already
		return a.String()
	}
	return ""
}

// run serves the connection to its end.
func (s *session) run() {
	err := s.converse()
	s.shut()
	s.conn.Release()
	if s.left != nil {
		s.left()
	}
	s.tcp.o.Logger.Debug("client left", slog.String("client", s.remote), slog.Any("reason", err))
}

// converse reads and carries out commands until the connection ends, and says
// why it did.
func (s *session) converse() error {
	err := s.carryAllOut()
	_ = s.awaitStarted() // the connection fails for err, or has failed
	return s.endAfter(err)
}

func (s *session) carryAllOut() error {
	if err := s.readMagic(); err != nil {
		return err
	}
	s.startHeartbeats()
	for {
		if err := s.carryOut(); err != nil {
			return err
		}
		if s.upgrade != nil {
			if err := s.changeStreams(); err != nil {
				return err
			}
		}
		if err := s.fill(); err != nil {
			return s.readError(err)
		}
	}
}

// endAfter sends the error frame of a fatal *protocol.Error and sees to it
// that the client can read it. Other errors are of the connection itself.
func (s *session) endAfter(err error) error {
	var fatal *protocol.Error
	if !errors.As(err, &fatal) {
		return err
	}
	s.tcp.o.Logger.Warn("client made a fatal error", slog.String("client", s.remote), slog.Any("error", err))
	s.leave()
	frame := protocol.AppendError(nil, fatal)
	if len(frame) > 0 && s.writeAfterDelivery(frame) == nil {
		s.linger()
	}
	return err
}

// How long a connection stays open after a fatal error for the client to read
// about it.
const lingerTime = time.Second

// linger waits for the client to close, so that it sees the error.
func (s *session) linger() {
	if !s.conn.CloseWrite() {
		return
	}
	s.conn.SetReadDeadline(time.Now().Add(lingerTime))
	if s.stopping.Load() {
		return
	}
	s.conn.Drain()
}

// shut closes the connection and gives the consumer's messages back. It may be
// called by anyone, any number of times, and does not wait for the session's
// goroutines.
func (s *session) shut() {
	s.mu.Lock()
	s.closed = true
	if s.heartbeat != nil {
		s.heartbeat.Stop()
	}
	s.mu.Unlock()
	s.conn.Close()
	s.leave()
}

// leave gives the consumer's messages back.
func (s *session) leave() {
	if k := s.consumer.Load(); k != nil {
		s.leaveOnce.Do(func() {
			(*k).Close()
			s.traces.over()
		})
	}
}

// interrupt stops delivery and lets the session carry out what it has read, and
// no more, unless its client still owes answers.
func (s *session) interrupt() {
	s.stopping.Store(true)
	until := time.Unix(1, 0)
	if s.owed() {
		until = s.tcp.answersUntil(time.Now())
	}
	s.conn.SetReadDeadline(until)
}

// owed tells whether the client has messages that it may still answer.
func (s *session) owed() bool {
	k := s.consumer.Load()
	return k != nil && (*k).Stats().InFlight > 0
}

// awaitAnswers lets a session of a closing server read once more: until its
// client owes nothing, or is quiet, or the time for it has passed.
func (s *session) awaitAnswers() error {
	now := time.Now()
	until := s.tcp.answersUntil(now)
	if !s.owed() || !now.Before(until) {
		return stream.ErrStopping
	}
	s.conn.SetReadDeadline(until)
	return nil
}

// readMagic waits for the four bytes that say which protocol the client speaks.
func (s *session) readMagic() error {
	within := s.tcp.o.MagicTimeout
	if s.tcp.o.Auth != nil {
		within = min(within, s.tcp.o.AuthTimeout)
	}
	s.conn.SetReadDeadline(s.since.Add(within))
	in := &s.conn.In
	for len(in.Bytes()) < len(protocol.Magic) {
		if s.stopping.Load() {
			return stream.ErrStopping
		}
		if err := in.Fill(); err != nil {
			return err
		}
	}
	if string(in.Bytes()[:len(protocol.Magic)]) != protocol.Magic {
		return protocol.BadProtocol()
	}
	in.Consume(len(protocol.Magic))
	if s.timeout == 0 {
		s.conn.SetReadDeadline(time.Time{})
	}
	return nil
}

// fill waits for bytes from the client, as long as it may take for them, and
// before that for the memory to hold them.
func (s *session) fill() error {
	before := time.Now()
	if err := s.conn.In.WaitForSpace(); err != nil {
		return err
	}
	s.expireReads(before)
	// interrupt sets its flag before the deadline: either the flag is seen
	// here, or its deadline comes after the one above.
	if s.stopping.Load() {
		if err := s.awaitAnswers(); err != nil {
			return err
		}
	}
	return s.conn.In.Fill()
}

// readError is what a failed read means: the end of the stream in the middle
// of a command is an error of the client's.
func (s *session) readError(err error) error {
	switch {
	case s.stopping.Load():
		return stream.ErrStopping
	case errors.Is(err, io.EOF):
		if cut := s.parser.Truncated(s.conn.In.Bytes()); cut != nil {
			return cut
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s.expired
	}
	return err
}

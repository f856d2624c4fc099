package link

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/acceptloop"
)

// Options configure the links of a member.
type Options struct {
	Address  string       // of this member, as all members name it
	Listener net.Listener // where others dial it; Close closes it
	// Dial connects to an address; nil: over TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// Hello is what this member says of itself now. It is called concurrently.
	Hello func() Hello
	// Secrets are those that the other side may have, the first one or two of which
	// count; nil or none: connections are not authenticated, unless by TLS.
	Secrets func() [][]byte
	// Server and Client are TLS with certificates on both sides, of who was dialled and
	// who dials an address; nil: no TLS.
	Server *tls.Config
	Client func(address string) (*tls.Config, error)

	// Alive is how long a connection may be silent; a ping is sent four times as
	// often. 0: 1.2 s.
	Alive time.Duration
	// MaxFrame is the longest body in bytes, 0: 64 MiB; ControlBytes and BulkBytes are
	// how much may wait on each lane to a peer, 0: 1 MiB and 32 MiB. A body that is
	// longer than that is taken when nothing else waits.
	MaxFrame, ControlBytes, BulkBytes int

	// Meet is called of a peer that is about to be there, with what it says of itself,
	// before anything can be sent to it; nil: nobody wants to know.
	Meet func(Hello)
	// Up is called when a peer is there, before anything of it is given to a handler;
	// Down when it no longer is, after all that came of it was handled. For a member
	// they alternate, and no frame of an earlier time comes after an Up. They may be nil,
	// and wait for nothing of other members.
	Up   func(Peer)
	Down func(Peer, error)

	Logger *slog.Logger
}

// Peer is a member at an address, or an address where one is expected.
type Peer struct {
	Address string
	Up      bool
	Hello   Hello         // what it said of itself last; Member is 0 until it has
	RTT     time.Duration // of the last ping; 0: not measured
	Skew    time.Duration // how far its clock is ahead, at least
	Failure string        // why there is no connection, when that is known
	Refused bool          // with Failure: one side does not want the other, see Refusal
}

// Handler takes what a member has sent; the body is good until it returns. For a lane
// of a member it is called for one frame after the other, and while it runs nothing
// more is read of that lane: on Control it must not wait.
type Handler func(from uint64, body []byte)

// CallHandler answers a call. It must return when ctx is done.
type CallHandler func(ctx context.Context, from uint64, body []byte) ([]byte, error)

// Links are the connections of a member. Handle, HandleCall and Start come first, in
// this order; all else may be called concurrently.
type Links struct {
	o     Options
	began time.Time // pings count from here

	handlers     [256]Handler
	kept         [256]bool // the handler keeps long bodies
	callHandlers [256]CallHandler
	answered     [256]func(body []byte) // what is done with an answer that was sent; nil: nothing
	spares       spares                 // memory of bodies that nobody uses any more

	members atomic.Pointer[map[uint64]*session] // who is up; replaced under mu

	mu         sync.Mutex // guards what follows, and who is up
	peers      map[string]*peer
	closed     bool
	background sync.WaitGroup // grows under mu while closed is false

	ctx       context.Context
	stop      context.CancelFunc
	places    chan struct{} // of handshakes under way
	strangers reporter
}

// maxHandshakes is how many connections may be in their handshake.
const maxHandshakes = 64

// New makes links, which do nothing before Start.
func New(o Options) *Links {
	if o.Dial == nil {
		var d net.Dialer
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	if o.Secrets == nil {
		o.Secrets = func() [][]byte { return nil }
	}
	setDefault(&o.Alive, 1200*time.Millisecond)
	setDefault(&o.MaxFrame, 64<<20)
	setDefault(&o.ControlBytes, 1<<20)
	setDefault(&o.BulkBytes, 32<<20)
	l := &Links{o: o, began: time.Now(), peers: make(map[string]*peer), places: make(chan struct{}, maxHandshakes)}
	l.members.Store(&map[uint64]*session{})
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

func setDefault[T comparable](at *T, value T) {
	var zero T
	if *at == zero {
		*at = value
	}
}

// HandleKept is Handle for one that keeps bodies of KeptBytes and more: they are its for
// good.
func (l *Links) HandleKept(kind byte, h Handler) {
	l.handlers[kind], l.kept[kind] = h, true
}

// KeptBytes is how long a body is that is worth memory of its own.
const KeptBytes = 64 << 10

// Handle has frames of a kind, FirstKind or above, given to h.
func (l *Links) Handle(kind byte, h Handler) { l.handlers[kind] = h }

// HandleCall has calls of a kind, which are numbered apart from frames, answered by h.
func (l *Links) HandleCall(kind byte, h CallHandler) { l.callHandlers[kind] = h }

// HandleCallReusing is HandleCall for one that uses the memory of its answers again: sent
// is given each when it was copied, to be sent or not.
func (l *Links) HandleCallReusing(kind byte, h CallHandler, sent func(body []byte)) {
	l.callHandlers[kind], l.answered[kind] = h, sent
}

// Reuse takes the memory of an answer of Call for what comes next. It must not be used any
// more.
func (l *Links) Reuse(body []byte) { l.spares.put(body) }

// Start takes connections and connects to the peers.
func (l *Links) Start(peers []string) {
	l.background.Go(func() {
		if err := acceptloop.Loop(l.o.Listener, l.ctx.Done(), l.o.Logger, l.arrived); err != nil {
			l.o.Logger.Error("no more members are let in: the listener failed", slog.Any("error", err))
		}
	})
	l.SetPeers(peers)
}

// SetPeers says who the others are now, by their addresses; this member's own may be
// among them. Who is not there any more is disconnected.
func (l *Links) SetPeers(addresses []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for address, p := range l.peers {
		if !slices.Contains(addresses, address) {
			delete(l.peers, address)
			p.close(errRemoved)
		}
	}
	for _, address := range addresses {
		if address == l.o.Address || l.peers[address] != nil {
			continue
		}
		p := newPeer(l, strings.Clone(address))
		l.peers[p.address] = p
		if l.o.Address < p.address { // one side dials, and both know which
			l.background.Go(p.dialOn)
		}
	}
}

// Send copies a frame into the queue of a lane to a member, and returns false when it
// is not connected or too much waits. It never waits. That a frame was queued does not
// say that it arrives: see Options.Down.
func (l *Links) Send(to uint64, lane Lane, kind byte, body ...[]byte) bool {
	out := l.outbox(to, lane, body)
	return out != nil && out.put(out.limit, kind, body...)
}

// Push is Send for what may wait: it does until little is queued, so that it delays what
// others send by little. It returns false when the member is not connected or no longer
// is. A handler must not call it.
func (l *Links) Push(to uint64, lane Lane, kind byte, body ...[]byte) bool {
	out := l.outbox(to, lane, body)
	return out != nil && out.push(out.limit/patientShare, kind, body...)
}

// patientShare is the part of a queue that is for those who wait for room.
const patientShare = 16

// outbox is the queue of a lane to a member; nil: there is none, or no member takes so
// long a frame.
func (l *Links) outbox(to uint64, lane Lane, body [][]byte) *outbox {
	s := (*l.members.Load())[to]
	size := 0
	for _, part := range body {
		size += len(part)
	}
	if s == nil || size > l.o.MaxFrame {
		return nil
	}
	return s.lanes[lane].out
}

// Call asks a member and waits for its answer, as long as ctx allows; the member is
// told how long that is. The error is ErrNoConnection, ErrBusy, ctx's, or a
// *RemoteError with what the member's handler has returned.
func (l *Links) Call(ctx context.Context, to uint64, kind byte, body []byte) ([]byte, error) {
	s := (*l.members.Load())[to]
	if s == nil {
		return nil, ErrNoConnection
	}
	return s.calls.call(ctx, kind, body)
}

// Drop ends the connections to a member, which has sent what makes no sense: both sides
// begin anew.
func (l *Links) Drop(member uint64, why error) {
	if s := (*l.members.Load())[member]; s != nil {
		s.finish(why)
	}
}

// Renew ends the connections in which Hello said something else of who this member is, or
// which features the set uses, than it does now: both sides begin anew. Those that are being
// made meanwhile see to that themselves.
func (l *Links) Renew(why error) {
	for _, s := range *l.members.Load() {
		if s.isStale() {
			s.finish(why)
		}
	}
}

// Connected tells whether a member is up.
func (l *Links) Connected(member uint64) bool { return (*l.members.Load())[member] != nil }

// Silence is for how long nothing small has come of each member that is up, by member.
// One that is well says something every quarter of Options.Alive at least.
func (l *Links) Silence() map[uint64]time.Duration {
	members, now := *l.members.Load(), time.Since(l.began)
	silence := make(map[uint64]time.Duration, len(members))
	for member, s := range members {
		silence[member] = now - time.Duration(s.heard.Load())
	}
	return silence
}

// Peers are all others, by address.
func (l *Links) Peers() []Peer {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.peers))
	l.mu.Unlock()
	list := make([]Peer, 0, len(all))
	for _, p := range all {
		list = append(list, p.state())
	}
	slices.SortFunc(list, func(a, b Peer) int { return strings.Compare(a.Address, b.Address) })
	return list
}

// Close ends all connections and waits for everything that runs. Down is called for
// who was up.
func (l *Links) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	peers := slices.Collect(maps.Values(l.peers))
	l.mu.Unlock()
	l.stop()
	l.o.Listener.Close()
	for _, p := range peers {
		p.close(errStopping)
	}
	l.background.Wait()
}

// up lets everybody reach the member of a session.
func (l *Links) up(s *session) {
	if l.o.Meet != nil {
		l.o.Meet(s.hello)
	}
	l.changeMembers(func(m map[uint64]*session) { m[s.hello.Member] = s })
	l.o.Logger.Info("connected to a member", s.attributes()...)
	if l.o.Up != nil {
		l.o.Up(s.peer.state())
	}
}

// down is the end of a session.
func (l *Links) down(s *session) {
	l.changeMembers(func(m map[uint64]*session) {
		if m[s.hello.Member] == s {
			delete(m, s.hello.Member)
		}
	})
	l.o.Logger.Info("lost the connection to a member", s.attributes(slog.Any("reason", s.why))...)
	s.peer.left(s)
	if l.o.Down != nil {
		state := s.peer.state()
		state.Hello = s.hello
		l.o.Down(state, s.why)
	}
}

func (l *Links) changeMembers(change func(map[uint64]*session)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := maps.Clone(*l.members.Load())
	change(m)
	l.members.Store(&m)
}

// peerAt is the peer at an address; nil: there is none.
func (l *Links) peerAt(address string) *peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peers[address]
}

// judge says why the one with a greeting is refused.
func (l *Links) judge(expected string) judge {
	return func(g *greeting, skew time.Duration) string {
		own := l.o.Hello()
		if text := refusal(&own, g, expected, func(address string) bool { return l.peerAt(address) != nil }); text != "" {
			return text
		}
		if s := (*l.members.Load())[g.Member]; s != nil && s.peer.address != g.Address {
			return "member " + ID(g.Member) + " is connected from " + s.peer.address + " too: one of the two data directories is a copy; wipe it and start its node again"
		}
		return clockRefusal(&own, g, skew)
	}
}

func (l *Links) credentials() credentials {
	c := credentials{secrets: l.o.Secrets(), auth: authNone}
	c.secrets = c.secrets[:min(len(c.secrets), maxSecrets)]
	switch {
	case l.o.Server != nil:
		c.auth = authTLS
	case len(c.secrets) > 0:
		c.auth = authSecret
	}
	return c
}

// maxSecrets is how many secrets a member has: the one in use and, while it is
// replaced, another one.
const maxSecrets = 2

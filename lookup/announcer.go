package lookup

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"

	"qmq/internal/address"
)

// AnnouncerOptions configure an announcer.
type AnnouncerOptions struct {
	// Client asks directories, and nodes, about topics. It stays its owner's to
	// close.
	Client *Client
	// RegistrationSecret is shown to directories, which may want one; empty, or
	// a nil function: none. It may be called concurrently.
	RegistrationSecret func() string
	// Views are where directories are to say that the node is, to those for whom
	// a view is: the first one counts. NSQ's directories say it to nobody.
	Views  []address.View
	Logger *slog.Logger
}

// Announcer tells directories which topics and channels a node has, each over
// a connection and in a goroutine of its own, so that none waits for another
// and nothing in the node waits for any. While directories are given by name
// one more goroutine resolves these. Before Start it only remembers. All
// methods may be called concurrently.
type Announcer struct {
	o             AnnouncerOptions
	registrations *registrations
	names         Resolver
	ask           asker
	taking        func() Taking // nil: nothing is said of it; set before Start
	dial          func(ctx context.Context, address string) (net.Conn, error)

	changing sync.Mutex // held while peers come and go; taken before mu
	identity Identity   // set by Start, before the first peer
	naming   *naming    // nil while no directory is given by name

	mu       sync.Mutex // guards what follows
	peers    []*peer
	started  bool
	open     bool          // started and not closed
	alone    bool          // no directory is given
	resolved chan struct{} // closed when all names were resolved, or failed to be, once
}

// NewAnnouncer makes an announcer of a node that has nothing yet.
func NewAnnouncer(o AnnouncerOptions) *Announcer {
	a := &Announcer{o: o, registrations: newRegistrations(), ask: o.Client, alone: true, resolved: closed()}
	a.dial = func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		return a.names.reach(ctx, address, d.DialContext)
	}
	return a
}

// asker is what an announcer asks of directories; a Client, but for tests.
type asker interface {
	Lookup(ctx context.Context, addresses []string, topic string) (LookupAnswer, error)
	Channels(ctx context.Context, addresses []string, topic string) ([]string, error)
	nodesAt(ctx context.Context, directory, node string) (NodesAnswer, error)
	pauses(ctx context.Context, nodes []Producer, topic string) *pauses
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Register tells the directories of a topic, or of a channel of it if channel
// is not empty. The incarnation is the topic's and grows when a topic of that
// name is made again; a channel is only registered with the incarnation that
// is there. It does not wait for the directories.
func (a *Announcer) Register(topic string, incarnation uint64, channel string) {
	a.registrations.register(topic, incarnation, channel)
}

// Unregister undoes Register: of a topic with its channels, or of one channel.
// It leaves another incarnation alone.
func (a *Announcer) Unregister(topic string, incarnation uint64, channel string) {
	a.registrations.unregister(topic, incarnation, channel)
}

// Start begins to connect, as the node of that identity, to the directories
// with these TCP addresses. It is called once. A node without a TCP or an HTTP
// port is not announced, since directories refuse it.
func (a *Announcer) Start(identity Identity, addresses []string) {
	a.changing.Lock()
	a.identity = identity
	a.mu.Lock()
	a.started, a.open = true, true
	a.mu.Unlock()
	a.changing.Unlock()
	a.SetAddresses(addresses)
}

// Close disconnects from all directories, which is how they learn that this
// node is gone, and waits for that.
func (a *Announcer) Close() {
	a.SetAddresses(nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = false
}

// isSelf tells whether a directory means this node, wherever it says that it is.
func (a *Announcer) isSelf(p *Producer) bool {
	if p.isSameNode(&a.identity) {
		return true
	}
	for i := range a.o.Views {
		if seen := a.identity.through(&a.o.Views[i]); p.isSameNode(&seen) {
			return true
		}
	}
	return false
}

func (a *Announcer) current() []*peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.peers)
}

// Alone says that there is no directory that could be asked.
func (a *Announcer) Alone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.alone
}

// Registered says with how many directories all that the node has is registered, of
// how many.
func (a *Announcer) Registered() (with, of int) {
	peers := a.current()
	for _, p := range peers {
		if p.isTold() {
			with++
		}
	}
	if of = len(peers); of == 0 && !a.Alone() {
		of = 1 // one whose name is not resolved yet
	}
	return with, of
}

package lookup

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// AnnouncerOptions configure an announcer.
type AnnouncerOptions struct {
	// Client asks directories for channels. It stays its owner's to close.
	Client *Client
	Logger *slog.Logger
}

// Announcer tells directories which topics and channels a node has, each over
// a connection and in a goroutine of its own, so that none waits for another
// and nothing in the node waits for any. Before Start it only remembers. All
// methods may be called concurrently.
type Announcer struct {
	o       AnnouncerOptions
	desired *desired
	dial    func(ctx context.Context, address string) (net.Conn, error)

	changing sync.Mutex // held while peers come and go; taken before mu
	identity Identity   // set by Start, before the first peer

	mu    sync.Mutex // guards what follows
	peers []*peer
	open  bool // started and not closed
}

// NewAnnouncer makes an announcer of a node that has nothing yet.
func NewAnnouncer(o AnnouncerOptions) *Announcer {
	a := &Announcer{o: o, desired: newDesired()}
	dialer := &net.Dialer{Timeout: patience}
	a.dial = func(ctx context.Context, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	}
	return a
}

// Register tells the directories of a topic, or of a channel of it if channel
// is not empty. The incarnation is the topic's and grows when a topic of that
// name is made again; a channel is only registered with the incarnation that
// is there. It does not wait for the directories.
func (a *Announcer) Register(topic string, incarnation uint64, channel string) {
	a.desired.register(topic, incarnation, channel)
}

// Unregister undoes Register: of a topic with its channels, or of one channel.
// It leaves another incarnation alone.
func (a *Announcer) Unregister(topic string, incarnation uint64, channel string) {
	a.desired.unregister(topic, incarnation, channel)
}

// Start begins to connect, as the node of that identity, to the directories
// with these TCP addresses. It is called once. A node without a TCP or an HTTP
// port is not announced, since directories refuse it.
func (a *Announcer) Start(identity Identity, addresses []string) {
	a.changing.Lock()
	a.identity = identity
	a.mu.Lock()
	a.open = true
	a.mu.Unlock()
	a.changing.Unlock()
	a.SetAddresses(addresses)
}

// SetAddresses changes which directories are told. When it returns, those that
// are not among them are disconnected, and others are being connected.
func (a *Announcer) SetAddresses(addresses []string) {
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.identity.TCPPort <= 0 || a.identity.HTTPPort <= 0 {
		if len(addresses) > 0 {
			a.o.Logger.Warn("not announced to lookup directories: they refuse a node without a TCP and an HTTP port; "+
				"with unix sockets, or without HTTP, set --broadcast-tcp-port and --broadcast-http-port",
				slog.Int("tcp_port", a.identity.TCPPort), slog.Int("http_port", a.identity.HTTPPort))
		}
		addresses = nil
	}
	for _, p := range a.exchange(addresses) {
		p.close()
	}
}

// exchange makes peers for the addresses that have none and returns those
// whose address is not wanted any more.
func (a *Announcer) exchange(addresses []string) (unwanted []*peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.open {
		return nil
	}
	was := a.peers
	a.peers = nil
	for _, address := range slices.Compact(slices.Sorted(slices.Values(addresses))) {
		at := func(p *peer) bool { return p.address == address }
		if i := slices.IndexFunc(was, at); i >= 0 {
			a.peers = append(a.peers, was[i])
			continue
		}
		a.peers = append(a.peers, newPeer(a, address))
	}
	return slices.DeleteFunc(was, func(p *peer) bool { return slices.Contains(a.peers, p) })
}

// Close disconnects from all directories, which is how they learn that this
// node is gone, and waits for that.
func (a *Announcer) Close() {
	a.SetAddresses(nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = false
}

func (a *Announcer) current() []*peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.peers)
}

// Alone says that there is no directory that could be asked.
func (a *Announcer) Alone() bool { return len(a.current()) == 0 }

// firstContact is how long Channels waits for directories that were not
// reached yet.
const firstContact = 500 * time.Millisecond

// errNobodyMet means that no directory has said where it can be asked.
var errNobodyMet = errors.New("no lookup directory was reached yet")

// Channels lists the channels that a topic has anywhere, as the directories
// know it, also those that are not connected now. Without directories there are none. The error is that not one of
// them answered: it is worth asking again. What some of them do not answer is
// logged.
func (a *Announcer) Channels(ctx context.Context, topic string) ([]string, error) {
	peers := a.current()
	awaitContact(ctx, peers)
	var addresses []string
	met := false
	for _, p := range peers {
		web, said := p.directory()
		met = met || said
		if web != "" {
			addresses = append(addresses, web)
		}
	}
	switch {
	case len(addresses) > 0:
	case len(peers) > 0 && !met:
		return nil, errNobodyMet
	default:
		return nil, nil
	}
	names, err := a.o.Client.Channels(ctx, addresses, topic)
	var partial *PartialError
	if errors.As(err, &partial) && !partial.All() {
		a.o.Logger.Info("not every lookup directory was asked for channels", slog.String("topic", topic), slog.Any("error", err))
		err = nil
	}
	return names, err
}

// awaitContact waits until each directory has introduced itself or failed to,
// but not for long.
func awaitContact(ctx context.Context, peers []*peer) {
	ctx, cancel := context.WithTimeout(ctx, firstContact)
	defer cancel()
	for _, p := range peers {
		select {
		case <-p.tried:
		case <-ctx.Done():
			return
		}
	}
}

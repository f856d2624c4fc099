package server

import (
	"iter"
	"slices"
	"strings"
	"time"

	"qmq/protocol"
)

// Client is what a session knows of its client, at one moment.
type Client struct {
	// What the client says of itself; at first ID and Hostname are its address.
	ID, Hostname, UserAgent string
	Zone, Region            string

	RemoteAddress string
	Since         time.Time // when it connected
	State         protocol.State

	// What was agreed on.
	SampleRate      int       // per cent; 0 for all
	TLS             *TLS      // nil without
	Identity        *Identity // nil unless it is known to the auth server
	Snappy, Deflate bool
	Headers         bool

	// Published is what it has published, by topic, in the order of their names.
	Published []Published
}

// TLS is what a client and the server have agreed on, in NSQ's words.
type TLS struct {
	Version, CipherSuite, Protocol string
	Mutual                         bool
}

// Identity is who an auth server says a client is.
type Identity struct{ Name, URL string }

// Published is how many messages a client has published to a topic.
type Published struct {
	Topic string
	Count uint64
}

// Client is the client of the consumer with that id; ok is false when it has left.
func (t *TCP) Client(consumer uint64) (c Client, ok bool) {
	t.mu.Lock()
	s := t.sessions[consumer] // whose id is that of its consumer
	t.mu.Unlock()
	if s == nil {
		return c, false
	}
	return s.describe(), true
}

// Clients are all clients that are connected now, each as it is when its turn
// comes.
func (t *TCP) Clients() iter.Seq[Client] {
	return func(yield func(Client) bool) {
		for _, s := range t.all() {
			if !yield(s.describe()) {
				return
			}
		}
	}
}

// CloseClient ends the connection of the client at an address, whose unanswered messages
// are delivered again at once. ok is false when there is none.
func (t *TCP) CloseClient(remote string) (ok bool) {
	for _, s := range t.all() {
		if s.remote == remote {
			s.shut()
			ok = true
		}
	}
	return ok
}

// describe is what is known of the client now.
// Sessions is how many sessions there are, and how many there have been.
func (t *TCP) Sessions() (now int, ever uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions), t.lastID
}

func (s *session) describe() Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Client{
		ID:            s.client.id,
		Hostname:      s.client.hostname,
		UserAgent:     s.client.userAgent,
		Zone:          s.client.zone,
		Region:        s.client.region,
		RemoteAddress: s.remote,
		Since:         s.since,
		State:         protocol.State(s.state.Load()),
		SampleRate:    s.terms.sampleRate,
		TLS:           s.terms.tls,
		Snappy:        s.terms.snappy,
		Deflate:       s.terms.deflate,
		Headers:       s.terms.headers,
	}
	if a := s.terms.auth; a != nil {
		c.Identity = &Identity{Name: a.grant.Identity, URL: a.grant.IdentityURL}
	}
	for topic, count := range s.published {
		c.Published = append(c.Published, Published{Topic: topic, Count: count})
	}
	slices.SortFunc(c.Published, func(a, b Published) int { return strings.Compare(a.Topic, b.Topic) })
	return c
}

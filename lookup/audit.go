package lookup

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"qmq/internal/apiclient"
)

// Somebody may have a directory forget a topic or channel that a node still has:
// a deletion that did not reach the node, or was meant for another. The node
// would take messages that no consumer finds. So with its pings it looks up what
// the directory lists of it, over HTTP, which is all that NSQ's directories
// offer, and registers again what is missing.
//
// A deletion begins at the directories too, and reaches the nodes a little
// later. Hence what is missing is only registered again if it still is after
// auditAgain. Tombstoned topics are listed, and so stay hidden.

const (
	// auditAgain is longer than a deletion takes to go from directories to nodes.
	auditAgain = 10 * time.Second
	// auditRest is how many times as long as it took a directory is left alone
	// after it was asked, and auditRestEach the same for each node that it listed:
	// so many nodes ask it, and a directory that lists them all to each is to
	// spend a twentieth of its time on that at most.
	auditRest     = 100
	auditRestEach = 20
	// auditTopics is of how many topics the channels are asked for each time,
	// where a directory does not list them with the topics.
	auditTopics = 16
	// auditsFailed is after how many audits in a row that failed everything is
	// registered again: the directory cannot be asked.
	auditsFailed = 20
)

// auditing is what a peer remembers between audits on one connection.
type auditing struct {
	running   sync.WaitGroup
	busy      bool      // one is running, or its finding was not taken yet
	due       time.Time // of the next one, if that is not with a ping
	notBefore time.Time
	failed    int
	suspects  map[change]uint64 // what was missing last, with incarnations
	asked     string            // the last topic whose channels were asked for
}

func (a *auditing) isDue(now time.Time) bool {
	return !a.busy && !a.due.IsZero() && !now.Before(a.due) && !now.Before(a.notBefore)
}

// before is the earlier of a moment and that of the next audit.
func (a *auditing) before(until time.Time) time.Time {
	next := a.due
	if a.busy || next.IsZero() {
		return until
	}
	if next.Before(a.notBefore) {
		next = a.notBefore
	}
	if next.Before(until) {
		return next
	}
	return until
}

// finding is what an audit has come to.
type finding struct {
	missing map[change]uint64 // what the directory does not list, with incarnations
	asked   string
	nodes   int // how many were listed
	took    time.Duration
	err     error // it could not be asked
}

// startAudit begins to ask the directory, unless that is being done or was done
// just now. The answer is waited for beside the connection, which may have
// something to say meanwhile.
func (p *peer) startAudit(ctx context.Context, conn net.Conn) {
	a := &p.audit
	began := time.Now()
	if a.busy || began.Before(a.notBefore) {
		return
	}
	a.busy, a.due = true, time.Time{}
	suspects, asked := a.suspects, a.asked // not changed while it runs
	a.running.Go(func() {
		f := p.examine(ctx, conn, suspects, asked)
		f.took = time.Since(began)
		p.mu.Lock()
		p.found = f
		p.mu.Unlock()
		p.wake()
	})
}

// examine asks the directory what it lists of this node.
func (p *peer) examine(ctx context.Context, conn net.Conn, suspects map[change]uint64, asked string) *finding {
	web, err := p.webOf(ctx, conn.RemoteAddr())
	if err != nil {
		return &finding{err: err}
	}
	answer, err := p.a.ask.nodesAt(ctx, web, withoutBrackets(p.a.identity.WebAddress()))
	if err != nil {
		return &finding{err: err}
	}
	f := &finding{nodes: len(answer.Producers)}
	listed, err := answer.of(&p.a.identity, conn.LocalAddr().String())
	if err != nil {
		f.err = err
		return f
	}
	if !listed.hasChannels {
		var topics []string
		topics, f.asked = p.a.registrations.someTopics(asked, auditTopics)
		for s := range suspects {
			topics = append(topics, s.topic)
		}
		slices.Sort(topics)
		for _, topic := range slices.Compact(topics) {
			if _, ok := listed.topics[topic]; !ok {
				continue
			}
			if names, err := p.a.ask.Channels(ctx, []string{web}, topic); err == nil {
				listed.topics[topic] = append(names, "") // not nil
			}
		}
	}
	f.missing = p.a.registrations.missingFrom(listed)
	return f
}

var errNoWeb = errors.New("it is not known where the directory serves HTTP")

// webOf is where this very directory serves HTTP, of several that one name
// stands for.
func (p *peer) webOf(ctx context.Context, remote net.Addr) (string, error) {
	web, _ := p.directory()
	if web == "" {
		return "", errNoWeb
	}
	all, _ := p.a.names.Expand(ctx, []string{web}, resolveEvery)
	if len(all) == 1 {
		return all[0], nil
	}
	for _, one := range all {
		host, _, _ := net.SplitHostPort(one)
		if at, ok := remote.(*net.TCPAddr); ok && at.AddrPort().Addr().Unmap().String() == host {
			return one, nil
		}
	}
	return "", errNoWeb
}

// forgotten takes what an audit has found, if there is one, and returns what is
// to be registered again.
func (p *peer) forgotten() []change {
	p.mu.Lock()
	f := p.found
	p.found = nil
	p.mu.Unlock()
	if f == nil {
		return nil
	}
	a, now := &p.audit, time.Now()
	a.busy, a.notBefore = false, now.Add(f.took*time.Duration(max(auditRest, auditRestEach*f.nodes)))
	if f.err != nil {
		if a.failed++; a.failed%auditsFailed == 0 {
			return p.a.registrations.all()
		}
		return nil
	}
	a.failed, a.asked = 0, f.asked
	confirmed := make(map[change]uint64)
	for c, incarnation := range f.missing {
		if was, ok := a.suspects[c]; ok && was == incarnation {
			confirmed[c] = incarnation
			delete(f.missing, c)
		}
	}
	if a.suspects = f.missing; len(a.suspects) > 0 {
		a.due = now.Add(auditAgain)
	}
	again := p.a.registrations.still(confirmed)
	if len(again) > 0 {
		p.a.o.Logger.Warn("lookup directory was made to forget what is here, and is told again",
			slog.String("address", p.address), slog.Int("registrations", len(again)), slog.String("topic", again[0].topic))
	}
	return again
}

// listing is what a directory lists of one node.
type listing struct {
	topics      map[string][]string // with their channels, nil where these are not known
	hasChannels bool                // the directory tells them
}

var errNotListed = errors.New("the directory that answers does not list this node, or not only once")

// nodesAt asks one directory for its nodes, and to list only the one with that
// broadcast address and HTTP port, with the channels of its topics; NSQ's
// directories list all of them, without channels.
func (c *Client) nodesAt(ctx context.Context, directory, node string) (answer NodesAnswer, err error) {
	query := url.Values{"node": {node}, "channels": {"true"}}
	err = c.api.Get(ctx, apiclient.URL(directory, "/nodes", query), &answer)
	return answer, err
}

// of finds what is listed of one node, which is connected from that address.
func (answer *NodesAnswer) of(id *Identity, from string) (*listing, error) {
	own := slices.DeleteFunc(answer.Producers, func(n Node) bool { return !n.isSameNode(id) })
	if i := slices.IndexFunc(own, func(n Node) bool { return n.RemoteAddress == from }); i >= 0 {
		own = own[i : i+1]
	}
	if len(own) != 1 {
		return nil, errNotListed
	}
	l := &listing{topics: make(map[string][]string), hasChannels: len(own[0].Channels) == len(own[0].Topics)}
	for i, topic := range own[0].Topics {
		l.topics[topic] = nil
		if l.hasChannels {
			l.topics[topic] = append(own[0].Channels[i], "") // not nil
		}
	}
	return l, nil
}

// someTopics are the names of topics with channels that follow one in order, at
// most that many, and the last one of them; empty: the rest was less.
func (d *registrations) someTopics(after string, most int) (topics []string, last string) {
	d.mu.Lock()
	for name, t := range d.topics {
		if name > after && len(t.channels) > 0 {
			topics = append(topics, name)
		}
	}
	d.mu.Unlock()
	slices.Sort(topics)
	if len(topics) > most {
		topics = topics[:most]
		last = topics[most-1]
	}
	return topics, last
}

// missingFrom lists what is not in a listing, with the incarnations.
func (d *registrations) missingFrom(l *listing) map[change]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	missing := make(map[change]uint64)
	for name, t := range d.topics {
		channels, listed := l.topics[name]
		if !listed {
			missing[change{topic: name}] = t.incarnation
		}
		for _, channel := range t.channels {
			if !listed || channels != nil && !slices.Contains(channels, channel) {
				missing[change{topic: name, channel: channel}] = t.incarnation
			}
		}
	}
	return missing
}

// still lists those of some topics and channels that are there, topics first.
func (d *registrations) still(some map[change]uint64) (list []change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, incarnation := range some {
		t := d.topics[c.topic]
		if t != nil && t.incarnation == incarnation && (c.channel == "" || slices.Contains(t.channels, c.channel)) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, compareChanges)
	return list
}

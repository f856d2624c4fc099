package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"qmq/admin/cluster"
	"qmq/internal/httpapi"
	"qmq/internal/nodeclient"
	"qmq/lookup"
)

// Scripts get fresh answers: each of their requests asks upstream, as nsqadmin
// does, instead of what the collector knows.

// producer is a node as a request found it.
type producer struct {
	lookup.Identity
	address string // where it is asked
	seen    []lookup.Sighting
	topics  []lookup.NodeTopic
}

// id is how answers name it, wherever it is asked.
func (p *producer) id() string {
	if p.BroadcastAddress == "" { // it is very old
		return p.address
	}
	return cluster.NodeAddress(&p.Identity)
}

func (p *producer) target() cluster.Target {
	return cluster.Target{ID: p.id(), Address: p.address, Name: p.Hostname}
}

// partialErrors are why some of those that were asked did not answer.
type partialErrors struct {
	mu    sync.Mutex // guards texts
	texts []string
}

func (t *partialErrors) add(err error) {
	var partial *lookup.PartialError
	if errors.As(err, &partial) {
		for _, failed := range partial.Failed {
			t.add(failed.Err)
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.texts = append(t.texts, err.Error())
}

// message is what the answer says of it.
func (t *partialErrors) message() string {
	if len(t.texts) == 0 {
		return ""
	}
	return "WARNING: " + strings.Join(t.texts, "\n")
}

// upstreamError is the answer when nobody answered.
func (t *partialErrors) upstreamError(kind string) error {
	return &httpapi.Error{Status: http.StatusBadGateway, Code: fmt.Sprintf("UPSTREAM_ERROR: failed to query any %s: %s", kind, strings.Join(t.texts, "\n"))}
}

// tell notes an error of the lookup client; it is an error of the request if no
// directory answered.
func (t *partialErrors) check(err error) error {
	if err == nil {
		return nil
	}
	t.add(err)
	var partial *lookup.PartialError
	if !errors.As(err, &partial) || partial.All() {
		return t.upstreamError("nsqlookupd")
	}
	return nil
}

// askEach asks all producers at once and keeps the answers in their order,
// nil for those that gave none.
func askEach[A any](t *partialErrors, addresses []string, ask func(address string) (*A, error)) (answers []*A, failed int) {
	answers = make([]*A, len(addresses))
	errs := make([]error, len(addresses))
	slots := make(chan struct{}, questionsOnce)
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i], errs[i] = ask(address)
		})
	}
	asking.Wait()
	for i, err := range errs {
		if err != nil {
			t.add(err)
			answers[i] = nil
			failed++
		}
	}
	return answers, failed
}

// producers are all nodes.
func (s *Server) producers(ctx context.Context, t *partialErrors) ([]*producer, error) {
	if len(s.up.direct) > 0 {
		return s.directProducers(ctx, t, s.up.direct, "")
	}
	nodes, err := s.up.directory.Nodes(ctx, s.lookupds())
	if err := t.check(err); err != nil {
		return nil, err
	}
	var list []*producer
	for i := range nodes {
		n := &nodes[i]
		if n.Impossible != "" {
			t.add(fmt.Errorf("%s lists what cannot be a node: %s", n.Seen[0].Directory, n.Impossible))
			continue
		}
		list = append(list, &producer{Identity: n.Identity, address: cluster.NodeAddress(&n.Identity), seen: n.Seen, topics: n.Topics})
	}
	slices.SortStableFunc(list, func(a, b *producer) int { return cmp.Compare(a.Hostname, b.Hostname) })
	return list, nil
}

// producersOf are the nodes that have a topic.
func (s *Server) producersOf(ctx context.Context, t *partialErrors, topic string) ([]*producer, error) {
	if len(s.up.direct) > 0 {
		return s.directProducers(ctx, t, s.up.direct, topic)
	}
	answer, err := s.up.directory.Lookup(ctx, s.lookupds(), topic)
	if err := t.check(err); err != nil {
		return nil, err
	}
	var list []*producer
	for i := range answer.Producers {
		id := answer.Producers[i].Identity
		list = append(list, &producer{Identity: id, address: cluster.NodeAddress(&id)})
	}
	return list, nil
}

// directProducers asks nodes who they are and what they have. With a topic,
// only those that have it count.
func (s *Server) directProducers(ctx context.Context, t *partialErrors, addresses []string, topic string) ([]*producer, error) {
	found, failed := askEach(t, addresses, func(address string) (*producer, error) {
		stats, err := s.up.nodes.Stats(ctx, address, nodeclient.Wanted{Topic: topic}, new(nodeclient.Decoder))
		if err != nil {
			return nil, err
		}
		info, err := s.up.nodes.Info(ctx, address)
		if err != nil {
			return nil, err
		}
		p := &producer{address: address, Identity: lookup.Identity{
			Hostname: info.Hostname, BroadcastAddress: info.BroadcastAddress, TCPPort: info.TCPPort, HTTPPort: info.HTTPPort,
			Version: info.Version, TopologyZone: info.TopologyZone, TopologyRegion: info.TopologyRegion,
		}}
		for _, known := range stats.Topics {
			p.topics = append(p.topics, lookup.NodeTopic{Topic: known.Name})
		}
		return p, nil
	})
	if failed == len(addresses) {
		return nil, t.upstreamError("nsqd")
	}
	return slices.DeleteFunc(found, func(p *producer) bool { return p == nil || topic != "" && len(p.topics) == 0 }), nil
}

// statsOf asks producers for figures and returns their topics in the order of
// the producers. None to ask is no error: there is just nothing.
func (s *Server) statsOf(ctx context.Context, t *partialErrors, producers []*producer, w nodeclient.Wanted) ([]*scriptTopic, error) {
	byAddress := make(map[string]*producer, len(producers))
	addresses := make([]string, len(producers))
	for i, p := range producers {
		addresses[i], byAddress[p.address] = p.address, p
	}
	type answer struct {
		from  *producer
		stats *nodeclient.Stats
	}
	answers, failed := askEach(t, addresses, func(address string) (*answer, error) {
		stats, err := s.up.nodes.Stats(ctx, address, w, new(nodeclient.Decoder))
		return &answer{byAddress[address], stats}, err
	})
	if failed > 0 && failed == len(producers) {
		return nil, t.upstreamError("nsqd")
	}
	var topics []*scriptTopic
	for _, a := range answers {
		if a == nil {
			continue
		}
		for i := range a.stats.Topics {
			if known := &a.stats.Topics[i]; w.Topic == "" || known.Name == w.Topic {
				topics = append(topics, newScriptTopic(known, a.from))
			}
		}
	}
	return topics, nil
}

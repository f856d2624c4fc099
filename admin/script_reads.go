package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/httpapi"
	"qmq/internal/nodeclient"
	"qmq/internal/version"
	"qmq/lookup"
)

// scriptRoutes are those of nsqadmin's API.
func (s *Server) scriptRoutes(r *httpapi.Router, at func(string) string) {
	r.Handle("GET", at("/api/topics"), s.scriptTopics)
	r.Handle("GET", at("/api/topics/:topic"), s.scriptTopic)
	r.Handle("GET", at("/api/topics/:topic/:channel"), s.scriptChannel)
	r.Handle("GET", at("/api/nodes"), s.scriptNodes)
	r.Handle("GET", at("/api/nodes/:node"), s.scriptNode)
	r.Handle("GET", at("/api/counter"), s.scriptCounter)
	for _, change := range []struct {
		method, path string
		h            httpapi.Handler
	}{
		{"POST", "/api/topics", s.scriptCreate},
		{"POST", "/api/topics/:topic", s.scriptAct},
		{"POST", "/api/topics/:topic/:channel", s.scriptAct},
		{"DELETE", "/api/topics/:topic", s.scriptDelete},
		{"DELETE", "/api/topics/:topic/:channel", s.scriptDelete},
		{"DELETE", "/api/nodes/:node", s.scriptTombstone},
	} {
		r.Handle(change.method, at(change.path), s.admins(change.h))
	}
}

func (s *Server) scriptTopics(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	t := new(partialErrors)
	topics, err := s.topicNames(r, t)
	if err != nil {
		return nil, err
	}
	if q.Get("inactive") != "true" {
		return struct {
			Topics  []string `json:"topics"`
			Message string   `json:"message"`
		}{topics, t.message()}, nil
	}
	inactive := map[string][]string{}
	if len(s.up.direct) == 0 {
		inactive = s.inactive(r, topics)
	}
	return struct {
		Topics  map[string][]string `json:"topics"`
		Message string              `json:"message"`
	}{inactive, t.message()}, nil
}

func (s *Server) topicNames(r *http.Request, t *partialErrors) ([]string, error) {
	if len(s.up.direct) == 0 {
		topics, err := s.up.directory.Topics(r.Context(), s.lookupds())
		return topics, t.check(err)
	}
	answers, failed := askEach(t, s.up.direct, func(address string) (*nodeclient.Stats, error) {
		return s.up.nodes.Stats(r.Context(), address, nodeclient.Wanted{}, new(nodeclient.Decoder))
	})
	if failed == len(answers) {
		return nil, t.upstreamError("nsqd")
	}
	names := make(map[string]bool)
	for _, a := range answers {
		if a == nil {
			continue
		}
		for _, topic := range a.Topics {
			names[topic.Name] = true
		}
	}
	return words.Sorted(names), nil
}

// inactive are the topics without a producer, with their channels.
func (s *Server) inactive(r *http.Request, topics []string) map[string][]string {
	found := make(map[string][]string)
	var mu sync.Mutex // guards found
	slots := make(chan struct{}, questionsOnce)
	var asking sync.WaitGroup
	for _, topic := range topics {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answer, err := s.up.directory.Lookup(r.Context(), s.lookupds(), topic)
			if err != nil && len(answer.Producers) == 0 && len(answer.Channels) == 0 || len(answer.Producers) > 0 {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[topic] = answer.Channels
		})
	}
	asking.Wait()
	return found
}

func (s *Server) scriptTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, topic := new(partialErrors), httpapi.Param(r, "topic")
	producers, err := s.producersOf(r.Context(), t, topic)
	if err != nil {
		return nil, err
	}
	if len(producers) == 0 && !s.isTopic(r, t, topic) {
		return nil, errNoTopic
	}
	stats, err := s.statsOf(r.Context(), t, producers, nodeclient.Wanted{Topic: topic})
	if err != nil {
		return nil, err
	}
	return struct {
		*scriptTopic
		Message string `json:"message"`
	}{sumOfTopics(topic, stats), t.message()}, nil
}

var (
	errNoTopic = &httpapi.Error{Status: http.StatusNotFound, Code: "TOPIC_NOT_FOUND"}
	errNoNode  = &httpapi.Error{Status: http.StatusNotFound, Code: "NODE_NOT_FOUND"}
)

// isTopic tells whether anybody knows a topic that no node has.
func (s *Server) isTopic(r *http.Request, t *partialErrors, topic string) bool {
	known, err := s.topicNames(r, t)
	return err != nil || slices.Contains(known, topic)
}

func (s *Server) scriptChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, topic, channel := new(partialErrors), httpapi.Param(r, "topic"), httpapi.Param(r, "channel")
	producers, err := s.producersOf(r.Context(), t, topic)
	if err != nil {
		return nil, err
	}
	stats, err := s.statsOf(r.Context(), t, producers, nodeclient.Wanted{Topic: topic, Channel: channel, Clients: true})
	if err != nil {
		return nil, err
	}
	sum := sumOfTopics(topic, stats)
	i := slices.IndexFunc(sum.Channels, func(c *scriptChannel) bool { return c.Channel == channel })
	if i < 0 {
		return nil, &httpapi.Error{Status: http.StatusNotFound, Code: "CHANNEL_NOT_FOUND"}
	}
	return struct {
		*scriptChannel
		Message string `json:"message"`
	}{sum.Channels[i], t.message()}, nil
}

// scriptProducer is a node as nsqadmin lists it.
type scriptProducer struct {
	RemoteAddresses  []string          `json:"remote_addresses"`
	RemoteAddress    string            `json:"remote_address"`
	Hostname         string            `json:"hostname"`
	BroadcastAddress string            `json:"broadcast_address"`
	TCPPort          int               `json:"tcp_port"`
	HTTPPort         int               `json:"http_port"`
	Version          string            `json:"version"`
	Zone             string            `json:"topology_zone,omitempty"`
	Region           string            `json:"topology_region,omitempty"`
	Topics           []scriptNodeTopic `json:"topics"`
	OutOfDate        bool              `json:"out_of_date"`
}

type scriptNodeTopic struct {
	Topic      string `json:"topic"`
	Tombstoned bool   `json:"tombstoned"`
}

func newScriptProducer(p *producer, newest version.Semver) scriptProducer {
	n := scriptProducer{
		Hostname: p.Hostname, BroadcastAddress: p.BroadcastAddress, TCPPort: p.TCPPort, HTTPPort: p.HTTPPort, Version: p.Version,
		Zone: p.TopologyZone, Region: p.TopologyRegion, OutOfDate: version.Parse(p.Version).Less(newest),
	}
	for _, at := range p.seen {
		n.RemoteAddresses = append(n.RemoteAddresses, at.Directory+"/"+cmp.Or(at.RemoteAddress, "N/A"))
		n.RemoteAddress = cmp.Or(n.RemoteAddress, at.RemoteAddress)
	}
	for _, topic := range p.topics {
		n.Topics = append(n.Topics, scriptNodeTopic(topic))
	}
	return n
}

func (s *Server) scriptNodes(_ http.ResponseWriter, r *http.Request) (any, error) {
	t := new(partialErrors)
	producers, err := s.producers(r.Context(), t)
	if err != nil {
		return nil, err
	}
	var newest version.Semver
	for _, p := range producers {
		if v := version.Parse(p.Version); newest.Less(v) {
			newest = v
		}
	}
	var nodes []scriptProducer
	for _, p := range producers {
		nodes = append(nodes, newScriptProducer(p, newest))
	}
	return struct {
		Nodes   []scriptProducer `json:"nodes"`
		Message string           `json:"message"`
	}{nodes, t.message()}, nil
}

func (s *Server) scriptNode(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, node := new(partialErrors), httpapi.Param(r, "node")
	producers, err := s.producers(r.Context(), t)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(producers, func(p *producer) bool { return isNode(&p.Identity, node) })
	if i < 0 {
		return nil, errNoNode
	}
	topics, err := s.statsOf(r.Context(), t, producers[i:i+1], nodeclient.Wanted{Clients: true})
	if err != nil {
		return nil, err
	}
	var clients, messages int64
	for _, topic := range topics {
		messages += topic.Messages
		for _, c := range topic.Channels {
			clients += int64(len(c.Clients))
		}
	}
	return struct {
		Node          string         `json:"node"`
		Topics        []*scriptTopic `json:"topics"`
		TotalMessages int64          `json:"total_messages"`
		TotalClients  int64          `json:"total_clients"`
		Message       string         `json:"message"`
	}{node, topics, messages, clients, t.message()}, nil
}

// isNode tells whether a node is called so, with or without brackets.
func isNode(id *lookup.Identity, name string) bool {
	address := cluster.NodeAddress(id)
	return address == name || withoutBrackets(address) == name
}

type scriptCount struct {
	Node     string `json:"node"`
	Topic    string `json:"topic_name"`
	Channel  string `json:"channel_name"`
	Messages int64  `json:"message_count"`
}

func (s *Server) scriptCounter(_ http.ResponseWriter, r *http.Request) (any, error) {
	t := new(partialErrors)
	producers, err := s.producers(r.Context(), t)
	if err != nil {
		return nil, err
	}
	topics, err := s.statsOf(r.Context(), t, producers, nodeclient.Wanted{})
	if err != nil {
		return nil, err
	}
	stats := make(map[string]scriptCount)
	for _, topic := range topics {
		for _, c := range topic.Channels {
			key := fmt.Sprintf("%s:%s:%s", topic.Topic, c.Channel, topic.Node)
			stats[key] = scriptCount{topic.Node, topic.Topic, c.Channel, c.Messages}
		}
	}
	return struct {
		Stats   map[string]scriptCount `json:"stats"`
		Message string                 `json:"message"`
	}{stats, t.message()}, nil
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
	"qmq/test/node"
	"qmq/topic"
)

// shared are the replicated topics of a node: all whose names begin with r. With a
// store it leads them.
type shared struct {
	store     *broker.Broker // nil: another node leads
	consumers []channel.ConsumerStats
	changes   []broker.Change
}

var errNoLeader = errors.New("no leader")

func (s *shared) Replicated(topic string) bool { return strings.HasPrefix(topic, "r") }

func (s *shared) Publisher(name string, create bool) (broker.Publisher, error) {
	if s.store == nil {
		return leaderless(name), nil
	}
	return s.store.Publisher(name)
}

// leaderless is the publisher of a topic that nobody serves.
type leaderless string

func (l leaderless) Name() string                   { return string(l) }
func (l leaderless) Stamp() *topic.Stamp            { return nil }
func (l leaderless) Publish(*diskqueue.Batch) error { return errNoLeader }

func (s *shared) Subscribe(topic, channel string, _ bool, o broker.SubscribeOptions) (broker.Consumer, error) {
	return nil, errNoLeader
}

func (s *shared) Change(c broker.Change) error {
	s.changes = append(s.changes, c)
	switch {
	case s.store == nil:
		return errNoLeader
	case c.Local:
		return nil
	}
	return s.store.Change(c)
}

func (s *shared) Channel(topic, channel string) (broker.Messages, error) {
	if s.store == nil {
		return nil, errNoLeader
	}
	return s.store.Channel(topic, channel)
}

func (s *shared) Cancel(topicName string, id message.ID) (topic.Cancellation, error) {
	if s.store == nil {
		return topic.Cancellation{}, errNoLeader
	}
	return s.store.Cancel(topicName, id)
}

func (s *shared) Look(name string) (*topic.Look, func(), error) {
	if s.store == nil {
		return nil, nil, errNoLeader
	}
	return s.store.Look(name)
}

func (s *shared) Names() []string { return []string{"r1", "r2"} }

func (s *shared) Topic(name string) (broker.Replica, bool) {
	if name != "r1" && name != "r2" {
		return broker.Replica{}, false
	}
	r := broker.Replica{
		Name: name, Shard: 5, Leader: "qd1", Term: 3, Applied: 40, Lag: 2, IDBytes: 30,
		Channels: []broker.ReplicaChannel{
			{Name: "a", Paused: true, Until: 7, Done: true, Leaves: true, Rewound: 1000}, {Name: "b", Consumers: s.consumers},
		},
	}
	if s.store != nil {
		r.Served, _ = s.store.Existing(name)
	}
	return r, true
}

// startShared is an API of a node that has replicated topics.
func startShared(t *testing.T, s *shared) *rig {
	return startOn(t, node.Open(t, func(o *broker.Options) { o.Replicas = s }))
}

// statsOf is the topics of /stats.
func statsOf(t *testing.T, r *rig, query string) (topics []TopicFigures) {
	t.Helper()
	var answer struct {
		Topics []TopicFigures `json:"topics"`
	}
	text := r.must("GET", "/stats?format=json"+query, "")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Topics
}

func TestFollowerListsNamesAndItsOwnClients(t *testing.T) {
	s := &shared{consumers: []channel.ConsumerStats{{ID: 1, Ready: 5, InFlight: 2, FinishCount: 7}}}
	r := startShared(t, s)
	r.must("POST", "/topic/create?topic=q", "")
	r.must("POST", "/topic/create?topic=z", "")
	r.consume("z", "ch", 1) // the session with id 1
	topics := statsOf(t, r, "")
	var names []string
	for _, f := range topics {
		names = append(names, f.Name)
		if (f.Replica != nil) != (f.Name[0] == 'r') {
			t.Errorf("%s: %+v", f.Name, f.Replica)
		}
	}
	if got := strings.Join(names, " "); got != "q r1 r2 z" {
		t.Fatalf("topics %s", got)
	}
	f := topics[1]
	if *f.Replica != (ReplicaFigures{Role: "follower", Shard: 5, Leader: "qd1", Term: 3, Applied: 40, Lag: 2}) || f.Depth != 0 || len(f.Channels) != 2 {
		t.Fatalf("%+v", f)
	}
	if a := f.Channels[0]; !a.Paused || a.ClientCount != 0 || a.Clients == nil || a.Until != 7 || !a.Done || a.Then != "delete" || a.RewoundAt != 1000 {
		t.Errorf("%+v", a)
	}
	b := f.Channels[1]
	if b.ClientCount != 1 || len(b.Clients) != 1 || b.Clients[0].ReadyCount != 5 || b.Clients[0].InFlightCount != 2 || b.Clients[0].FinishCount != 7 {
		t.Errorf("%+v", b)
	}
	if one := statsOf(t, r, "&topic=r2&channel=b"); len(one) != 1 || one[0].Name != "r2" || len(one[0].Channels) != 1 {
		t.Errorf("%+v", one)
	}
	if text := r.must("GET", "/stats?topic=r1", ""); !strings.Contains(text, "replica: follower leader: qd1 term: 3 applied: 40 lag: 2") {
		t.Error(text)
	}
	r.scrape().want(t, "60", "qd_known_ids_bytes") // those of which the node is a follower count
	if local := r.must("GET", "/stats?format=json&topic=q", ""); strings.Contains(local, "replica") {
		t.Error(local)
	}
}

func TestLeaderTellsWhatIsInATopic(t *testing.T) {
	s := &shared{store: node.Open(t)}
	r := startShared(t, s)
	r.must("POST", "/topic/create?topic=r1", "")
	r.must("POST", "/channel/create?topic=r1&channel=b", "")
	r.must("POST", "/pub?topic=r1", "hello")
	r.must("POST", "/mpub?topic=r1", "a\nb")
	if len(r.broker.Topics()) != 0 {
		t.Fatal("the replicated topic is a local one too")
	}
	f := statsOf(t, r, "&topic=r1")[0]
	if f.Replica.Role != "leader" || f.MessageCount != 3 || len(f.Channels) != 2 || f.Channels[1].Depth != 3 {
		t.Fatalf("%+v", f)
	}
	if peeked := r.must("GET", "/channel/peek?topic=r1&channel=b", ""); !strings.Contains(peeked, `"total":3`) {
		t.Error(peeked)
	}
	for _, path := range []string{
		"/channel/pause?topic=r1&channel=b", "/channel/unpause?topic=r1&channel=b", "/channel/empty?topic=r1&channel=b",
		"/topic/pause?topic=r1", "/topic/unpause?topic=r1", "/topic/empty?topic=r1", "/channel/delete?topic=r1&channel=b",
		"/topic/delete?topic=r1&everywhere=true",
	} {
		r.must("POST", path, "")
	}
	last := s.changes[len(s.changes)-1]
	if want := (broker.Change{Op: state.DeleteTopic, Topic: "r1", Everywhere: true}); !reflect.DeepEqual(last, want) {
		t.Errorf("%+v, want %+v", last, want)
	}
	for path, code := range map[string]string{
		"/channel/pause?topic=r1&channel=b": "TOPIC_NOT_FOUND", "/topic/pause?topic=r2": "TOPIC_NOT_FOUND",
	} {
		if w := r.call("POST", path, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), code) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestTopicThatIsNotToBeReplicatedIsLocal(t *testing.T) {
	s := &shared{store: node.Open(t)}
	r := startShared(t, s)
	r.must("POST", "/topic/create?topic=r9&replicated=false", "")
	if want := (broker.Change{Op: state.CreateTopic, Topic: "r9", Local: true}); len(s.changes) != 1 || !reflect.DeepEqual(s.changes[0], want) {
		t.Errorf("%+v", s.changes)
	}
	if topics := r.broker.Topics(); len(topics) != 1 || topics[0].Name() != "r9" {
		t.Errorf("%d local topics", len(topics))
	}
}

func TestWithoutALeaderRequestsAreRefusedForNow(t *testing.T) {
	r := startShared(t, &shared{})
	for _, path := range []string{"/pub?topic=r1", "/topic/pause?topic=r1", "/channel/create?topic=r1&channel=b", "/topic/create?topic=r1"} {
		if w := r.call("POST", path, "body"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "no leader") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := r.call("GET", "/channel/peek?topic=r1&channel=b", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("peek: %d %s", w.Code, w.Body)
	}
	c := r.connect("PUB r1\n\x00\x00\x00\x01x", "PUB q\n\x00\x00\x00\x01x")
	c.ExpectError("E_PUB_FAILED PUB failed no leader")
	c.Expect("OK") // the connection stands
}

func (*shared) Health() error { return nil }

// TestWhatPatternsAskForInVainIsTold in the log of the start and to who asks.
func TestWhatPatternsAskForInVainIsTold(t *testing.T) {
	rules := new(settings.Rules)
	if err := rules.AddTopics("r*", map[string]any{"sync": "interval", "max_messages": int64(7)}); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := startOn(t, node.Open(t, func(o *broker.Options) {
		o.Replicas, o.Settings = &shared{}, rules
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}))
	if n := strings.Count(log.String(), "that a pattern asks for"); n != 1 {
		t.Errorf("it is told %d times: %s", n, log.String())
	}
	got := r.must("GET", "/topic/config?topic=r1", "")
	for _, want := range []string{`"unmet":["sync of a replicated topic is what --replica-sync says`, `"max_messages":7`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

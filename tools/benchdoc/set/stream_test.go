package set

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A stream is published to when all its replicas are there: with fewer it would cost less.
func TestStreamIsUsedWithAllItsReplicas(t *testing.T) {
	there := &jetstream.PeerInfo{Current: true}
	for name, test := range map[string]struct {
		cluster *jetstream.ClusterInfo
		leader  string
	}{
		"nobody knows":   {nil, ""},
		"no leader":      {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{there, there}}, ""},
		"one is missing": {&jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{there}}, ""},
		"one is behind":  {&jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{there, {}}}, ""},
		"one is gone":    {&jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{there, {Current: true, Offline: true}}}, ""},
		"all are there":  {&jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{there, there}}, "n1"},
	} {
		if leader, err := leaderOf(test.cluster, 3); leader != test.leader || (err == nil) != (leader != "") {
			t.Errorf("%s: %q, %v", name, leader, err)
		}
	}
}

func TestAnswersOfBatches(t *testing.T) {
	for text, want := range map[string]struct {
		sequence uint64
		count    int
		failed   bool
	}{
		`{"stream":"PEER","seq":400,"batch":"200","count":200}`:                       {400, 200, false},
		`{"type":"ack","seq":600,"msgs":200}`:                                         {600, 0, false},
		`{"type":"gap","last_seq":3,"seq":5}`:                                         {5, 0, true},
		`{"type":"err","seq":5,"error":{"code":400,"description":"it does not fit"}}`: {5, 0, true},
		`{"error":{"code":400,"err_code":10174,"description":"not enabled"}}`:         {0, 0, true},
		`no answer`: {0, 0, true},
	} {
		got, err := parseBatchAnswer([]byte(text))
		if got.Sequence != want.sequence || got.Count != want.count || (err != nil) != want.failed {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

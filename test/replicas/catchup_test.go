package replicas

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/test/process"
)

// What is deleted while a member is away stays deleted in the directories when it comes
// back, which keep each name that they are told.
func TestTopicDeletedWhileAMemberIsAwayIsNotListedAgain(t *testing.T) {
	lookup := process.NewDaemon(t, process.Command{Binary: filepath.Join(binaries, "qlookupd"), Args: []string{"--broadcast-address=127.0.0.1"}})
	lookup.Start(t)
	ask := func(method, path string, answer any) error {
		b, err := process.Ask(context.Background(), http.DefaultClient, method, lookup.HTTP, path, "")
		if err == nil && answer != nil {
			err = json.Unmarshal(b, answer)
		}
		return err
	}
	producers := func(topic string) int {
		var found struct{ Producers []struct{} }
		if ask("GET", "/lookup?topic="+topic, &found) != nil {
			return 0
		}
		return len(found.Producers)
	}
	s := startSet(t, "--lookupd-tcp-address="+lookup.TCP)
	var names []string
	for i := range 20 { // in all shards
		names = append(names, "deleted"+string(rune('a'+i)))
		s.create(names[i], "work")
	}
	s.create("kept", "work")
	for _, topic := range append(names, "kept") {
		process.Eventually(t, topic+" is listed by all", func() bool { return producers(topic) == 3 })
	}
	away := s.members[2]
	away.Kill()
	much := strings.Repeat("x", 1<<20)
	for _, topic := range names {
		for range 3 { // so that it takes a moment until it hears of the deletion
			s.publish(s.members[0], topic, much)
		}
		if err := ask("POST", "/topic/delete?topic="+topic, nil); err != nil {
			t.Fatal(err)
		}
		s.insist(s.members[0], "/topic/delete?everywhere=true&topic="+topic, "")
	}
	var left struct{ Topics []string }
	process.Eventually(t, "they are deleted", func() bool {
		left.Topics = nil
		return ask("GET", "/topics", &left) == nil && slices.Equal(left.Topics, []string{"kept"})
	})
	away.Start(t)
	process.Eventually(t, "it is back", func() bool { return producers("kept") == 3 })
	left.Topics = nil
	if err := ask("GET", "/topics", &left); err != nil || !slices.Equal(left.Topics, []string{"kept"}) {
		t.Errorf("the directory lists %q: %v", left.Topics, err)
	}
}

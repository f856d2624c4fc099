package replicas

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What was OK'd by one member is cancelled by another one that is asked at once, also while
// the first channel is made through a third, and while there is another leader; and what is
// cancelled comes to nobody.
func TestWhatWasOKdIsCancelledAtAnyMemberAtOnce(t *testing.T) {
	s := startSet(t)
	s.create("mails", "send")
	cancelled := make(map[string]bool)
	cancelOne := func(round int, from, by *member, topic, body string) {
		t.Helper()
		var published struct{ IDs []string }
		answer := s.insist(from, "/pub?topic="+topic+"&ids=true&defer=600000", body)
		if err := json.Unmarshal([]byte(answer), &published); err != nil || len(published.IDs) != 1 {
			t.Fatalf("%q: %v", answer, err)
		}
		answer, err := by.patiently("POST", "/message/cancel?topic="+topic+"&id="+published.IDs[0], "")
		if err != nil || !strings.Contains(answer, `"result":"cancelled"`) && !strings.Contains(answer, `"waiting":true`) {
			t.Fatalf("round %d: %s, %v", round, answer, err)
		}
		cancelled[body] = true
	}
	for round := range 60 {
		if round == 30 {
			leader := s.leader("mails")
			st, _ := leader.stats("mails")
			s.change(leader, fmt.Sprintf("/cluster/move?shard=%d&to=%s", st.Replica.Shard, s.others(leader)[0].address))
		}
		cancelOne(round, s.members[round%3], s.members[(round+1)%3], "mails", fmt.Sprint("mail ", round))
	}
	for round := range 10 { // topics without a channel, which gets one meanwhile
		topic := fmt.Sprint("fresh", round)
		made := make(chan string, 1)
		go func() {
			answer, err := s.members[(round+2)%3].patiently("POST", "/sub?topic="+topic+"&channel=first&wait=500&lease=60000", "")
			if err != nil {
				answer = err.Error()
			}
			made <- answer
		}()
		cancelOne(round, s.members[round%3], s.members[(round+1)%3], topic, "fresh")
		if answer := <-made; !strings.HasPrefix(answer, `{"messages":[],`) {
			t.Errorf("what was cancelled comes: %s", answer)
		}
	}
	s.publish(s.members[0], "mails", "last")
	s.consume("mails", "send", s.members...).await([]string{"last"})
	for _, m := range s.members {
		answer, err := m.patiently("GET", "/channel/peek?topic=mails&channel=send", "")
		if err != nil || strings.Contains(answer, `"deferred"`) {
			t.Errorf("%s, %v", answer, err)
		}
	}
}

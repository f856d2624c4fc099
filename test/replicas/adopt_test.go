package replicas

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"qmq/test/process"
)

// adopting says whether a member has still to move a topic into the replicated one; ok is
// false while it does not tell.
func (m *member) adopting(topic string) (moving, ok bool) {
	answer, err := m.ask("GET", "/cluster", "")
	var view struct {
		State  string `json:"state"`
		Moving []struct {
			Topic string `json:"topic"`
		} `json:"moving"`
	}
	if err != nil || json.Unmarshal([]byte(answer), &view) != nil || view.State != "member" {
		return false, false
	}
	for _, of := range view.Moving {
		moving = moving || of.Topic == topic
	}
	return moving, true
}

// Members that are killed while they move what a topic of theirs holds into the replicated
// one go on when they are back, and nothing of it is lost.
func TestAdoptionGoesOnAfterItsMembersAreKilled(t *testing.T) {
	s := startSet(t)
	keepers := s.members[:2]
	var all []string
	for i, m := range keepers {
		for _, path := range []string{"/topic/create?topic=orders&replicated=false", "/channel/create?topic=orders&channel=a", "/channel/create?topic=orders&channel=b"} {
			s.insist(m, path, "")
		}
		for batch := range 15 {
			list := bodies(fmt.Sprintf("message of %d in %d", i, batch), 1000)
			all = append(all, list...)
			s.insist(m, "/mpub?topic=orders", strings.Join(list, "\n"))
		}
	}
	s.change(s.members[2], "/cluster/adopt?topic=orders")
	allMoved := func() bool {
		for _, m := range keepers {
			if moving, ok := m.adopting("orders"); moving || !ok {
				return false
			}
		}
		return true
	}
	begun, applied := false, uint64(0)
	process.Eventually(t, "some of it is moved", func() bool {
		st, ok := s.members[2].stats("orders")
		if ok && !begun {
			begun, applied = true, st.Replica.Applied
		}
		return ok && (st.Replica.Applied > applied || allMoved()) // all, where this process is slow to look
	})
	for _, m := range keepers { // a majority
		m.Kill()
	}
	for _, m := range keepers {
		m.Start(t)
	}
	process.Eventually(t, "all is moved", allMoved)
	s.consume("orders", "a", s.members...).await(all)
	s.consume("orders", "b", s.members...).await(all)
}

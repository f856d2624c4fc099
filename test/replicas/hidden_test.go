package replicas

import (
	"testing"

	"qmq/test/process"
)

// A tombstone of stock nsqadmin at the member that leads a topic: it is hidden there, and what
// all members tell of it still sums up to what there is.
func TestTopicThatItsLeaderHidesIsInTheSumsOverAllMembers(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	all := bodies("order", 10)
	for _, body := range all {
		s.publish(s.members[0], "orders", body)
	}
	led := s.leader("orders")
	s.awaitApplied(led, s.members[0], "orders")
	s.insist(led, "/topic/delete?topic=orders", "")
	process.Eventually(t, "another member tells what there is", func() bool {
		depth := 0
		for _, m := range s.members {
			st, there := m.stats("orders")
			if there == (m == led) {
				return false // it is hidden at that one alone
			}
			for _, c := range st.Channels {
				depth += c.Depth
			}
		}
		return depth == len(all)
	})
	s.consume("orders", "work", s.others(led)...).await(all)
}

package serve

import (
	"testing"
	"testing/synctest"

	"qmq/state"
)

// TestCountsAreThoseOfTheTopicAndNotOfWhoServesIt: they go on where another leader, or
// the first look at a topic, finds them.
func TestCountsAreThoseOfTheTopicAndNotOfWhoServesIt(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		leads := 0
		want := func(what string, messages uint64, channels map[string]uint64) {
			t.Helper()
			for range 3 { // as the one who leads has counted, and as the next one finds it
				synctest.Wait()
				served, err := s.members[leads].node.Topic("t", false)
				must(t, err)
				if st := served.Stats(); st.MessageCount != messages || st.MessageBytes != messages {
					t.Errorf("%s: %d messages of %d bytes, want %d", what, st.MessageCount, st.MessageBytes, messages)
				}
				for _, c := range served.Channels() {
					if n := c.Stats().MessageCount; n != channels[c.Name()] {
						t.Errorf("%s: channel %s has had %d, want %d", what, c.Name(), n, channels[c.Name()])
					}
				}
				leads = (leads + 1) % 3
				s.lead(s.members[leads], 0)
			}
		}
		m := s.members[1]
		published := func(bodies ...string) {
			m.published(t, bodies...)
			synctest.Wait() // who leads may apply it later
		}
		s.lead(s.members[0], 0)
		m.ask(t, Request{Op: state.CreateTopic})
		published("1", "2", "3")
		want("without a channel", 3, nil)
		m.ask(t, Request{Op: state.EmptyTopic})
		published("4", "5")
		m.ask(t, Request{Op: state.CreateChannel, Channel: "a"})
		want("the first channel gets what waits", 5, map[string]uint64{"a": 2})
		published("6")
		m.ask(t, Request{Op: state.CreateChannel, Channel: "b"})
		published("7")
		want("a later one what comes", 7, map[string]uint64{"a": 4, "b": 1})
		m.ask(t, Request{Op: state.PauseTopic})
		published("8", "9")
		want("paused", 9, map[string]uint64{"a": 4, "b": 1})
		m.ask(t, Request{Op: state.EmptyTopic})
		m.ask(t, Request{Op: state.UnpauseTopic})
		published("0")
		want("emptied while it was paused", 10, map[string]uint64{"a": 5, "b": 2})
	})
}

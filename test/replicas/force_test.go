package replicas

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"qmq/test/process"
)

// forceNew runs qd cluster force-new on what a member has.
func (s *set) forceNew(m *member, args ...string) (text string, err error) {
	out, err := exec.Command(s.qd, append([]string{"cluster", "force-new", "--data-path=" + m.dir}, args...)...).CombinedOutput()
	return string(out), err
}

// awaitAllApplied waits until all members have all of a topic.
func (s *set) awaitAllApplied(topic string) {
	s.t.Helper()
	leader := s.leader(topic)
	for _, m := range s.others(leader) {
		s.awaitApplied(m, leader, topic)
	}
}

// Two of three are lost for good: the third begins a new set of what it has, serves, and
// is joined by nodes that have nothing. Numbers go on far above what was given out.
func TestSetBeginsAnewFromOneMemberWhenTheMajorityIsLost(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	all := bodies("before", 100)
	for i, body := range all {
		s.publish(s.members[i%3], "orders", body)
	}
	s.awaitAllApplied("orders")
	left, lost := s.members[2], s.members[:2]
	if text, err := s.forceNew(left, "--yes"); err == nil || !strings.Contains(text, "stop the qd that runs on it first") {
		t.Errorf("of a directory in use: %s, %v", text, err)
	}
	for _, m := range s.members {
		m.Kill()
	}
	if text, err := s.forceNew(left); err == nil || !strings.Contains(text, "nothing was done") || !strings.Contains(text, "Not compared: "+lost[0].address+", "+lost[1].address) {
		t.Errorf("without an answer: %s, %v", text, err)
	}
	text, err := s.forceNew(left, "--yes", "--compare="+lost[0].dir, "--compare", lost[1].dir)
	if err != nil || !strings.Contains(text, "as its only member") || !strings.Contains(text, "at "+left.address) {
		t.Fatalf("%s, %v", text, err)
	}
	left.Start(t)
	process.Eventually(t, "the new set is at work", func() bool {
		answer, err := left.ask("POST", "/pub?topic=orders", "after")
		return err == nil && answer == "OK"
	})
	c := s.consume("orders", "work", left)
	c.await(append(all, "after"))
	var status struct {
		Begun struct{ How, From string }
	}
	if answer, err := left.ask("GET", "/cluster", ""); err != nil || json.Unmarshal([]byte(answer), &status) != nil || status.Begun.How != "force-new" || !strings.Contains(text, status.Begun.From) {
		t.Errorf("%s, %v", answer, err)
	}

	// One of the lost ones turns up again with what it had: it gets no part in the set.
	lost[0].Start(t)
	process.Eventually(t, "it is refused", func() bool {
		answer, err := lost[0].ask("GET", "/cluster", "")
		return err == nil && strings.Contains(answer, "one of them has the data directory or the --cluster-peers of another set")
	})
	lost[0].Kill()
	for _, m := range lost {
		m.wipe(t)
		m.Start(t)
	}
	s.awaitVotes(left, 3)
	s.awaitApplied(lost[0], left, "orders")
	left.Kill()
	process.Eventually(t, "two of the new set go on", func() bool {
		answer, err := lost[1].ask("POST", "/pub?topic=orders", "without the first")
		return err == nil && answer == "OK"
	})
	s.consume("orders", "work", lost...).await([]string{"without the first"})
}

// It is said whose log is longest, where the directories of others can be read.
func TestTheLongestLogIsNamed(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	s.publish(s.members[0], "orders", "all have it")
	s.awaitAllApplied("orders")
	behind := s.members[1]
	behind.Kill()
	for _, body := range bodies("two have it", 20) {
		s.publish(s.members[0], "orders", body)
	}
	for _, m := range s.members {
		m.Kill()
	}
	longer := s.members[0].dir
	if text, err := s.forceNew(behind, "--compare="+longer); err == nil || !strings.Contains(text, "The log of "+longer+" is longer: begin from it, or ") {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := s.forceNew(s.members[0], "--compare="+behind.dir); err == nil || !strings.Contains(text, "Of these, "+longer+" has the longest log.") {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := s.forceNew(&member{dir: t.TempDir()}); err == nil || !strings.Contains(text, "it has nothing of a replicated set") {
		t.Errorf("%s, %v", text, err)
	}
}

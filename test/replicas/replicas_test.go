package replicas

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"qmq/test/process"
)

// What was published through any member is consumed through any, after the leader's
// death too; the one that was killed catches up when it is back.
func TestLeaderIsKilledAndAllIsConsumed(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	var all []string
	publish := func(name string, through []*member) {
		for i, body := range bodies(name, 60) {
			s.publish(through[i%len(through)], "orders", body)
			all = append(all, body)
		}
	}
	publish("before", s.members)
	leader := s.leader("orders")
	leader.Kill()
	rest := s.others(leader)
	publish("without", rest)
	c := s.consume("orders", "work", rest...)
	c.await(all)
	leader.Start(t)
	s.awaitApplied(leader, rest[0], "orders")
	publish("after", s.members)
	c.await(all)
}

// A consumer at a member that goes on does not break when the leader dies.
func TestConsumersOfOthersGoOnWhenTheLeaderDies(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	leader := s.leader("orders")
	rest := s.others(leader)
	c := s.consume("orders", "work", rest...)
	all := bodies("before", 50)
	for _, body := range all {
		s.publish(leader, "orders", body)
	}
	c.await(all)
	leader.Kill()
	for _, body := range bodies("after", 50) {
		s.publish(rest[0], "orders", body)
		all = append(all, body)
	}
	c.await(all)
}

// SIGTERM gives leadership away first: publishes through others do not pause, and
// nothing is lost or waits for an election. Giving away has a time limit, which a machine
// that is busy may reach now and then.
func TestStopInGoodOrderMovesLeadership(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	for try := range 5 {
		leader := s.leader("orders")
		leader.Stop(t)
		kept := leader.Logged("not given away")
		rest := s.others(leader)
		s.publish(rest[0], "orders", fmt.Sprint("after ", try))
		leader.Start(t)
		s.awaitApplied(leader, rest[0], "orders")
		if len(kept) == 0 {
			return
		}
		t.Log(kept)
	}
	t.Error("leaderships are not given away")
}

// All are killed at once: nothing that was OK'd is gone when they are back.
func TestAllAreKilledAndNothingIsLost(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	all := bodies("before", 100)
	for i, body := range all {
		s.publish(s.members[i%3], "orders", body)
	}
	for _, m := range s.members {
		m.Kill()
	}
	s.members[0].Start(t)
	if whom := s.members[0].Await(t, "waiting for a majority of the set"); !strings.Contains(whom, s.members[1].address) || !strings.Contains(whom, s.members[2].address) {
		t.Errorf("alone it waits for %s", whom)
	}
	for _, m := range s.members[1:] {
		m.Start(t)
	}
	s.consume("orders", "work", s.members...).await(all)
}

// A member whose directories are wiped is replaced by itself, under another id, with
// nothing to type: it gets all there is and has a vote again.
func TestWipedMemberIsReplacedByStartingIt(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	all := bodies("before", 100)
	for i, body := range all {
		s.publish(s.members[i%3], "orders", body)
	}
	wiped := s.members[2]
	wiped.Kill()
	wiped.wipe(t)
	wiped.Start(t)
	s.members[0].Await(t, "a member has a vote now")
	// It counts: without it and another one there would be no majority.
	s.awaitApplied(wiped, s.members[0], "orders")
	s.members[0].Kill()
	s.publish(wiped, "orders", "after")
	s.consume("orders", "work", s.members[1:]...).await(append(all, "after"))
}

// wipe removes all that a member has.
func (m *member) wipe(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(m.dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// A member whose log is damaged before its end may have forgotten what it acknowledged:
// it keeps the files, and comes back as another member, with all there is.
func TestMemberWithADamagedLogJoinsAgainUnderAnotherID(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	all := bodies("before", 100)
	for i, body := range all {
		s.publish(s.members[i%3], "orders", body)
	}
	damaged := s.members[1]
	damaged.Kill()
	logs, err := filepath.Glob(filepath.Join(damaged.dir, "raft", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	f, err := os.OpenFile(logs[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const somewhere = 20_000
	if _, err := f.WriteAt([]byte("this was something else"), somewhere); err != nil {
		t.Fatal(err)
	}
	damaged.Start(t)
	damaged.Await(t, "it joins its set again as a new one")
	s.members[0].Await(t, "a member has a vote now")
	s.awaitApplied(damaged, s.members[0], "orders")
	if kept, err := filepath.Glob(filepath.Join(damaged.dir, "replaced-*")); err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
	s.members[0].Kill()
	s.publish(damaged, "orders", "after")
	s.consume("orders", "work", s.members[1:]...).await(append(all, "after"))
}

// A set grows to five, while one of its first members is dead, and shrinks again.
func TestSetGrowsToFiveAndShrinksWhileItIsUsed(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	s.publish(s.members[0], "orders", "first")
	s.members[2].Kill()
	first := s.members[0]
	s.peers = append(s.peers, process.Address(t), process.Address(t))
	for _, address := range s.peers[3:] {
		s.change(first, "/cluster/add?address="+address)
		m := s.newMember(address, t.TempDir())
		s.members = append(s.members, m)
		m.Start(t)
	}
	s.awaitVotes(first, 5)
	first.Stop(t)
	first.Start(t) // with a list of three, as before
	process.Eventually(t, "it is connected to all that are there", func() bool {
		answer, err := first.ask("GET", "/cluster", "")
		return err == nil && strings.Count(answer, `"connected":true`) == 4
	})
	s.publish(s.members[4], "orders", "second")
	s.members[2].Start(t)
	s.awaitApplied(s.members[2], first, "orders")
	for _, m := range s.members[1:3] {
		s.change(first, "/cluster/remove?member="+m.address)
	}
	s.awaitVotes(first, 3)
	s.members[1].Await(t, "this node is no member of its set any more")
	s.members[1].Kill()
	s.members[1].Start(t)
	s.members[1].Await(t, "this node is no member of its set any more")
	s.members[1].Kill()
	s.members[2].Kill()
	s.publish(s.members[3], "orders", "third")
	s.consume("orders", "work", first, s.members[3], s.members[4]).await([]string{"first", "second", "third"})
}

// A member that lives and that another one at another address takes the place of hears that it is
// none any more, though it is connected to the others as before: it says so and leaves the
// directories.
func TestReplacedMemberThatLivesSaysSo(t *testing.T) {
	lookup := process.NewDaemon(t, process.Command{Binary: filepath.Join(binaries, "qlookupd"), Args: []string{"--broadcast-address=127.0.0.1"}})
	lookup.Start(t)
	s := startSet(t, "--lookupd-tcp-address="+lookup.TCP)
	producers := func() int {
		answer, err := process.Ask(t.Context(), http.DefaultClient, "GET", lookup.HTTP, "/lookup?topic=orders", "")
		var found struct{ Producers []struct{} }
		if err != nil || json.Unmarshal(answer, &found) != nil {
			return -1
		}
		return len(found.Producers)
	}
	s.create("orders", "work")
	s.publish(s.members[0], "orders", "before")
	former := s.members[1]
	address := process.Address(t)
	s.change(s.members[0], "/cluster/add?address="+address+"&replaces="+former.address)
	s.peers[1] = address
	m := s.newMember(address, t.TempDir(), "--lookupd-tcp-address="+lookup.TCP)
	m.Start(t)
	former.Await(t, "this node is no member of its set any more")
	if _, err := former.ask("GET", "/ping", ""); err == nil || !strings.Contains(err.Error(), "no member of its set any more") {
		t.Errorf("/ping: %v", err)
	}
	for _, name := range []string{"orders", "new"} {
		if _, err := former.ask("POST", "/pub?topic="+name, "refused"); err == nil || !strings.Contains(err.Error(), "no member of its set any more") {
			t.Errorf("a publish to %s: %v", name, err)
		}
	}
	s.awaitVotes(s.members[0], 3)
	process.Eventually(t, "the directory has the members, and not the former one", func() bool { return producers() == 3 })
	former.Kill()
	s.members[2].Kill()
	s.publish(m, "orders", "after")
	s.consume("orders", "work", s.members[0], m).await([]string{"before", "after"})
}

// A member comes back under another address, which the others were told before.
func TestMemberMovesToAnotherAddress(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	moved := s.members[1]
	moved.Stop(t)
	address := process.Address(t)
	s.change(s.members[0], "/cluster/add?address="+address)
	s.peers[1] = address
	s.members[1] = s.newMember(address, moved.dir)
	s.members[1].Start(t)
	s.members[0].Await(t, "a member has another address")
	s.awaitVotes(s.members[0], 3)
	s.members[2].Kill()
	s.publish(s.members[1], "orders", "from elsewhere")
}

// One alone waits, says for whom, and refuses publishes in clear words; when the
// others come the set begins by itself.
func TestSetBeginsWhenAllAreThere(t *testing.T) {
	s := newSet(t, 3)
	s.members[0].Start(t)
	after := s.members[0].Await(t, "waiting to begin a set, or to join it")
	if !strings.Contains(after, s.peers[1]) || !strings.Contains(after, s.peers[2]) {
		t.Errorf("it waits for %s", after)
	}
	if _, err := s.members[0].ask("POST", "/pub?topic=orders", "early"); err == nil || !strings.Contains(err.Error(), "no set yet") {
		t.Errorf("a publish without a set: %v", err)
	}
	s.members[1].Start(t)
	s.members[2].Start(t)
	s.create("orders", "work")
	s.publish(s.members[0], "orders", "at last")
}

// A member that is cut off, here from two that are stopped, says so and sends its
// consumers away, and serves again when they are back.
func TestMemberThatIsCutOffSaysSo(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	for _, m := range s.members[1:] {
		if err := syscall.Kill(m.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	s.members[0].Await(t, "this node is cut off from its set")
	if _, err := s.members[0].ask("GET", "/ping", ""); err == nil || !strings.Contains(err.Error(), "cut off from the other members") {
		t.Errorf("/ping: %v", err)
	}
	if _, err := s.members[0].ask("POST", "/pub?topic=orders", "x"); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("publish: %v", err)
	}
	for _, m := range s.members[1:] {
		if err := syscall.Kill(m.PID(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	process.Eventually(t, "it serves again", func() bool {
		_, err := s.members[0].ask("GET", "/ping", "")
		return err == nil
	})
	s.publish(s.members[0], "orders", "again")
}

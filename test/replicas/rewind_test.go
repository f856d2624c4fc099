package replicas

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
)

// A channel is rewound under stock consumers while its leader is killed: once a member has
// said that it is, everything comes again, and what is published meanwhile comes too.
func TestLeaderIsKilledDuringARewind(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	s.retain()
	leader := s.leader("orders")
	rest := s.others(leader)
	c := s.consume("orders", "work", rest...)
	s.awaitRetained(c, rest[0])
	all := bodies("before", 50)
	for _, body := range all {
		s.publish(rest[0], "orders", body)
	}
	c.await(all)
	c.forget()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = leader.ask("POST", "/channel/rewind?topic=orders&channel=work&to=first", "")
	}()
	leader.Kill()
	<-asked
	s.insist(rest[0], "/channel/rewind?topic=orders&channel=work&to=first", "")
	for _, body := range bodies("after", 20) {
		s.publish(rest[1], "orders", body)
		all = append(all, body)
	}
	c.await(all)
}

// retain has what is finished of the topic be kept, once all members know that they can.
func (s *set) retain() {
	s.t.Helper()
	for late := time.Now().Add(process.Timeout); ; time.Sleep(50 * time.Millisecond) {
		_, err := s.members[0].ask("PUT", "/topic/config?topic=orders", `{"retention_time": "1h"}`)
		if err == nil {
			return
		}
		if time.Now().After(late) {
			s.t.Fatal(err)
		}
	}
}

// awaitRetained waits until what is finished of the topic is retained: then a rewind brings
// it back.
func (s *set) awaitRetained(c *consumption, m *member) {
	s.t.Helper()
	for late := time.Now().Add(process.Timeout); ; time.Sleep(50 * time.Millisecond) {
		s.publish(m, "orders", "probe")
		c.await([]string{"probe"})
		var replay struct{ Messages int }
		if err := json.Unmarshal([]byte(s.insist(m, "/channel/rewind?topic=orders&channel=work&to=first", "")), &replay); err != nil {
			s.t.Fatal(err)
		}
		if replay.Messages > 1 {
			return
		}
		if time.Now().After(late) {
			s.t.Fatal("nothing is retained")
		}
	}
}

// forget has the consumers have got nothing.
func (c *consumption) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.got)
}

// A channel that begins in the past is made once, whoever dies meanwhile: who asked through
// another member is not told that it is there already.
func TestLeaderIsKilledWhileAChannelIsMade(t *testing.T) {
	s := startSet(t)
	s.create("orders", "work")
	s.retain()
	leader := s.leader("orders")
	rest := s.others(leader)
	c := s.consume("orders", "work", rest...)
	s.awaitRetained(c, rest[0])
	const target = "/channel/create?topic=orders&channel=again&from=first"
	made := make(chan error)
	go func() {
		_, err := rest[0].ask("POST", target, "")
		made <- err
	}()
	leader.Kill()
	if err := <-made; err != nil && !strings.Contains(err.Error(), "503") {
		t.Errorf("asked once: %v", err)
	}
}

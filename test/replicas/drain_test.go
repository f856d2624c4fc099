package replicas

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// drainView is the part of /drain that the test looks at.
type drainView struct {
	Draining bool
	Waiting  []drainEntry
	Left     []drainEntry
}

type drainEntry struct{ Topic, Channel, Left string }

func (m *member) drainView() (v drainView) {
	answer, err := m.ask("GET", "/drain", "")
	if err != nil || json.Unmarshal([]byte(answer), &v) != nil {
		return drainView{}
	}
	return v
}

// holder is a stock consumer that answers nothing before it is told to.
type holder struct{ messages chan *nsq.Message }

func hold(t *testing.T, m *member, topic, channel string) *holder {
	t.Helper()
	h := &holder{make(chan *nsq.Message, 100)}
	config := nsq.NewConfig()
	config.MsgTimeout = 15 * time.Minute // what is held does not come again, however long the test takes
	consumer, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		m.DisableAutoResponse()
		h.messages <- m
		return nil
	}))
	if err := consumer.ConnectToNSQD(m.TCP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consumer.Stop)
	return h
}

// A member that is drained by SIGTERM gives its leaderships away at once, and stops when
// consumers have emptied its own topics. Meanwhile replicated ones go on: no publish
// through the others is refused, and none that it takes part in is lost.
func TestDrainedMemberGivesItsLeadershipsAwayAndIsEmptied(t *testing.T) {
	s := startSet(t, "--sigterm=drain", "--replicated-topics=shared*")
	s.create("shared", "work")
	drained := s.leader("shared")
	others := s.others(drained)
	for _, topic := range []string{"own", "kept"} {
		s.insist(drained, "/topic/create?topic="+topic, "")
		s.insist(drained, "/channel/create?topic="+topic+"&channel=work", "")
	}
	s.insistPutAt(drained, "/topic/config?topic=kept", `{"retention_time": "1h"}`)
	s.publish(drained, "kept", "finished")
	s.consume("kept", "work", drained).await([]string{"finished"})
	s.publish(drained, "own", "held")
	h := hold(t, drained, "own", "work")
	held := <-h.messages
	shared := s.consume("shared", "work", s.members...)

	if err := syscall.Kill(drained.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	drained.Await(t, "draining: publishes are refused")
	var all []string
	publish := func(n int) {
		t.Helper()
		for range n {
			body := fmt.Sprint("message ", len(all))
			if _, err := others[len(all)%2].ask("POST", "/pub?topic=shared", body); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			all = append(all, body)
		}
	}
	publish(100)
	process.Eventually(t, "another member leads", func() bool {
		st, ok := drained.stats("shared")
		return ok && st.Replica.Role != "leader" && st.Replica.Leader != ""
	})
	process.Eventually(t, "it waits for its consumers, and names what it keeps", func() bool {
		v := drained.drainView()
		return v.Draining && slices.Contains(v.Waiting, drainEntry{Topic: "own", Channel: "work"}) && slices.Contains(v.Left, drainEntry{Topic: "kept", Left: "only retained"})
	})
	if _, err := drained.ask("POST", "/pub?topic=own", "late"); err == nil {
		t.Error("it takes publishes")
	}
	shared.await(all) // also what comes to consumers through the one that is drained
	held.Finish()
	<-drained.Ended()
	if err := drained.Err(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if lines := drained.Logged("only retained"); len(lines) != 1 {
		t.Errorf("what it keeps is told %d times", len(lines))
	}
	publish(100)
	drained.Start(t)
	s.awaitApplied(drained, others[0], "shared")
	shared.await(all)
}

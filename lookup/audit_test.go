package lookup

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/address"
)

// until returns how long it takes for a topic to have what is wanted.
func (s *scene) until(tcp *TCP, topic, want string, most time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	for time.Since(began) <= most {
		synctest.Wait()
		if produced(tcp, topic) == want {
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Errorf("after %s %s has %s, want %s", most, topic, produced(tcp, topic), want)
	return most
}

func TestTopicDeletedAtADirectoryAloneComesBack(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, _ *webFace) {
		s.Register("t", 1, "")
		s.Register("t", 1, "c")
		s.Register("t", 1, "e#ephemeral")
		s.Register("bare", 2, "")
		s.Start(me, []string{"d"})
		time.Sleep(time.Minute)
		s.want(tcp, "t", "[c e#ephemeral] 1")
		tcp.db.deleteTopic("t")
		tcp.db.deleteTopic("bare")
		took := s.until(tcp, "t", "[c e#ephemeral] 1", time.Minute)
		s.want(tcp, "bare", "[] 1")
		if took < auditAgain || took > pingInterval+auditAgain+time.Second {
			t.Errorf("after %s", took)
		}
		if n := s.log.count("was made to forget"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		if n := len(s.dialled()); n != 1 {
			t.Errorf("connected %d times", n)
		}
	})
}

func TestChannelDeletedAtADirectoryAloneComesBack(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, web *webFace) {
		for i := range 3 * auditTopics { // more than one audit of a stock directory looks at
			s.Register(fmt.Sprint("t", i), 1, "")
			s.Register(fmt.Sprint("t", i), 1, "c")
			s.Register(fmt.Sprint("t", i), 1, "d")
		}
		s.Start(me, []string{"d"})
		time.Sleep(time.Minute)
		web.questions("")
		for i := range 3 * auditTopics {
			tcp.db.deleteChannel(fmt.Sprint("t", i), "c")
		}
		time.Sleep(pingInterval)
		synctest.Wait()
		if n := len(web.questions("/channels")); n > 6*auditTopics || web.stock != (n > 0) {
			t.Errorf("%d questions for channels", n)
		}
		for i := range 3 * auditTopics {
			s.until(tcp, fmt.Sprint("t", i), "[c d] 1", 2*time.Minute)
		}
	})
}

// TestDeletionUnderWayIsNotUndone: it begins at the directories, and reaches the
// node seconds later, whenever between two pings.
func TestDeletionUnderWayIsNotUndone(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, _ *webFace) {
		s.Start(me, []string{"d"})
		for i := range uint64(60) {
			topic := fmt.Sprint("t", i)
			s.Register(topic, i, "")
			s.Register(topic, i, "c")
			time.Sleep(pingInterval + time.Duration(i)*time.Second/4)
			synctest.Wait()
			tcp.db.deleteTopic(topic)
			time.Sleep(auditAgain - time.Second)
			s.want(tcp, topic, "unknown")
			s.Unregister(topic, i, "")
			time.Sleep(2 * pingInterval)
			s.want(tcp, topic, "unknown")
		}
		if n := s.log.count("was made to forget"); n != 0 {
			t.Errorf("registered again %d times", n)
		}
	})
}

// TestDeletionThatTakesLongerIsNotUndoneForGood: what came back goes when the
// last node deletes it, with its channels.
func TestDeletionThatTakesLongerIsNotUndoneForGood(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, _ *webFace) {
		s.Register("t", 1, "")
		s.Register("t", 1, "c")
		s.Start(me, []string{"d"})
		synctest.Wait()
		tcp.db.deleteTopic("t")
		s.until(tcp, "t", "[c] 1", time.Minute)
		s.Unregister("t", 1, "")
		s.want(tcp, "t", "unknown")
		s.Register("t", 2, "")
		s.Register("t", 2, "c")
		s.want(tcp, "t", "[c] 1")
		tcp.db.deleteChannel("t", "c")
		s.until(tcp, "t", "[c] 1", time.Minute)
		s.Unregister("t", 2, "c")
		s.want(tcp, "t", "[] 1")
		s.Unregister("t", 2, "")
		s.want(tcp, "t", "[] 0") // this one was never deleted here
	})
}

func TestDeletionThatReachedSomeNodesOnlyLeavesTheTopicOnTheOthers(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, _ *webFace) {
		other := tcp.db.join("r", Identity{BroadcastAddress: "other", TCPPort: 1, HTTPPort: 2, Version: "1.3.0"})
		other.register("t", "c")
		s.Register("t", 1, "")
		s.Register("t", 1, "c")
		s.Start(me, []string{"d"})
		s.want(tcp, "t", "[c] 2")
		tcp.db.deleteTopic("t")
		other.unregister("t", "")
		other.unregister("t", "c")
		s.until(tcp, "t", "[c] 1", time.Minute)
		if answer, _ := tcp.db.lookup("t", address.Asker{}); answer.Producers[0].BroadcastAddress != me.BroadcastAddress {
			t.Errorf("it is at %v", answer.Producers)
		}
		other.leave()
	})
}

func TestTombstoneIsNotTakenForADeletion(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, _ *webFace) {
		s.Register("t", 1, "")
		s.Start(me, []string{"d"})
		synctest.Wait()
		tcp.db.tombstone("t", "me:2", address.Asker{})
		time.Sleep(44 * time.Second)
		s.want(tcp, "t", "[] 0")
		time.Sleep(2 * time.Second)
		s.want(tcp, "t", "[] 1")
		if n := s.log.count("was made to forget"); n != 0 {
			t.Errorf("registered again %d times", n)
		}
	})
}

func TestTopicMadeAgainMeanwhileIsNotConfused(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, _ *webFace) {
		s.Register("t", 1, "")
		s.Register("t", 1, "old")
		s.Start(me, []string{"d"})
		synctest.Wait()
		time.Sleep(pingInterval - time.Second)
		tcp.db.deleteTopic("t")
		time.Sleep(2 * time.Second) // it was seen to be missing
		s.Unregister("t", 1, "")
		s.Register("t", 2, "")
		time.Sleep(time.Minute)
		s.want(tcp, "t", "[] 1")
	})
}

func TestDirectoryThatCannotBeAskedIsToldEverythingNowAndThen(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, web *webFace) {
		web.fails(errors.New("refused"))
		s.Register("t", 1, "")
		s.Register("t", 1, "c")
		s.Start(me, []string{"d"})
		synctest.Wait()
		tcp.db.deleteTopic("t")
		s.until(tcp, "t", "[c] 1", (auditsFailed+1)*pingInterval)
	})
}

func TestSlowAnswersDelayNoRegistrationAndAreNotAskedForOften(t *testing.T) {
	withBoth(t, func(s *scene, tcp *TCP, web *webFace) {
		web.took = time.Second
		s.Register("t", 1, "")
		s.Start(me, []string{"d"})
		time.Sleep(pingInterval)
		synctest.Wait() // it is being asked
		began := time.Now()
		s.Register("new", 2, "")
		s.want(tcp, "new", "[] 1")
		if took := time.Since(began); took != 0 {
			t.Errorf("registered after %s", took)
		}
		time.Sleep(time.Hour)
		if n := len(web.questions("/nodes")); n > 3600/auditRest+1 {
			t.Errorf("asked %d times in an hour", n)
		}
		for i := range 99 { // as many others ask the same
			p := tcp.db.join(fmt.Sprint("r", i), Identity{BroadcastAddress: fmt.Sprint("n", i)})
			defer p.leave()
		}
		time.Sleep(time.Hour)
		web.questions("")
		time.Sleep(10 * time.Hour)
		most := 10 * 3600 / auditRest
		if web.stock {
			most = 10 * 3600 / (100 * auditRestEach)
		}
		if n := len(web.questions("/nodes")); n > most+1 || n < most*3/4 {
			t.Errorf("asked %d times in ten hours, want %d", n, most)
		}
	})
}

func TestStopDoesNotWaitForAnAnswer(t *testing.T) {
	inScene(t, func(s *scene) {
		_, web := s.askableDirectory(false)
		web.took = 10 * time.Millisecond
		s.Start(me, []string{"d"})
		time.Sleep(pingInterval + time.Millisecond)
		s.Close()
		if took := time.Since(s.began); took > pingInterval+20*time.Millisecond {
			t.Errorf("closed after %s", took)
		}
	})
}

func TestListingOfANodeIsFoundAmongOthers(t *testing.T) {
	entry := func(remote, host, topic string) string {
		return producerJSON(remote, host, "1") + `,"tombstones":[false],"topics":["` + topic + `"]}`
	}
	id := Identity{BroadcastAddress: "::1", TCPPort: 1, HTTPPort: 2}
	for name, test := range map[string]struct {
		nodes string
		want  string
	}{
		"one of several":  {entry("r", "a", "x") + "," + entry("r", "::1", "y"), "y"},
		"with brackets":   {entry("r", "[::1]", "y"), "y"},
		"by connection":   {entry("other", "::1", "x") + "," + entry("me", "::1", "y"), "y"},
		"two that may be": {entry("r1", "::1", "x") + "," + entry("r2", "::1", "y"), ""},
		"none":            {entry("r", "a", "x"), ""},
	} {
		directory := answers(t, map[string]string{"GET /nodes?channels=true&node=%3A%3A1%3A2": `{"producers":[` + test.nodes + `]}`})
		answer, err := newTestClient(t).nodesAt(t.Context(), directory, "::1:2")
		if err != nil {
			t.Fatal(err)
		}
		l, err := answer.of(&id, "me")
		if (err == nil) != (test.want != "") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil {
			if _, ok := l.topics[test.want]; !ok || len(l.topics) != 1 || l.hasChannels {
				t.Errorf("%s: %v", name, l)
			}
		}
	}
}

func TestLookupSaysWhereADeletedTopicStillIs(t *testing.T) {
	d := openDirectory(t)
	a, b := d.join("a"), d.join("b")
	a.tell("REGISTER t c")
	b.tell("REGISTER t c")
	d.post("/topic/delete?topic=t")
	gone := func(nodes string) {
		t.Helper()
		if status, body := d.request("GET", "/lookup?topic=t"); status != 404 || body != `{"message":"TOPIC_NOT_FOUND","still_on":[`+nodes+`]}` {
			t.Errorf("%d %s", status, body)
		}
	}
	gone(`"a:2","b:2"`)
	b.tell("UNREGISTER t")
	gone(`"a:2"`)
	b.tell("REGISTER t c")
	d.want("/lookup?topic=t", `{"channels":["c"],"producers":[`+asProducer(b, "b")+`}],"still_on":["a:2"]}`)
	a.tell("REGISTER t c")
	d.want("/lookup?topic=t", `{"channels":["c"],"producers":[`+asProducer(a, "a")+"},"+asProducer(b, "b")+`}]}`)
	d.post("/topic/delete?topic=t")
	a.tell("UNREGISTER t c", "UNREGISTER t")
	d.clock.advance(6 * time.Minute)
	if _, body := d.request("GET", "/lookup?topic=t"); body != `{"message":"TOPIC_NOT_FOUND"}` {
		t.Errorf("nobody is heard of: %s", body)
	}
}

func TestNodesAreListedOneByOneWithTheirChannelsToWhomAsks(t *testing.T) {
	d := openDirectory(t)
	a, b := d.join("a"), d.join("[::1]")
	a.tell("REGISTER t c")
	b.tell("REGISTER t d", "REGISTER t c", "REGISTER s")
	listed := asProducer(b, "::1") + `,"tombstones":[false,false],"topics":["s","t"]`
	for _, node := range []string{"::1:2", "[::1]:2"} {
		d.want("/nodes?node="+url.QueryEscape(node), `{"producers":[`+listed+`}]}`)
	}
	d.want("/nodes?channels=true&node=::1:2", `{"producers":[`+listed+`,"channels":[[],["c","d"]]}]}`)
	d.want("/nodes?node=unknown:2", `{"producers":[]}`)
}

package lookup

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/address"
)

// writers asks the HTTP API where a topic is published to: host, tier and what each
// takes, and behind them who refuses.
func (d *directory) writers(topic string) string {
	d.t.Helper()
	status, body := d.request("GET", "/lookup?access=w&topic="+topic)
	var answer WritersAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		d.t.Fatal(status, body, err)
	}
	return answer.text()
}

func (a *WritersAnswer) text() string {
	var list []string
	for _, p := range a.Producers {
		list = append(list, fmt.Sprintf("%s:%d%s", p.BroadcastAddress, p.Tier, p.Takes))
	}
	for _, r := range a.Refusing {
		list = append(list, fmt.Sprintf("not %s (%s)", r.Node, r.Why))
	}
	return strings.Join(list, " ")
}

func TestWritersAreHealthiestFirst(t *testing.T) {
	d := openDirectory(t)
	want := func(topic, want string) {
		t.Helper()
		if got := d.writers(topic); got != want {
			t.Errorf("%s: %s, want %s", topic, got, want)
		}
	}
	want("t", "")
	a, b, c := d.join("a"), d.join("b"), d.join("c")
	want("t", "a:1 b:1 c:1") // nobody has it: all may
	a.tell("REGISTER t")
	b.tell("REGISTER t", "PING all")
	want("t", "b:0all a:0 c:1")
	b.tell("PING none this node is being drained")
	want("t", "a:0 c:1 not b:2 (this node is being drained)")
	a.tell("PING some no new topics")
	want("t", "c:1 a:2some not b:2 (this node is being drained)")
	a.tell("PING")          // as nodes did before they said anything
	b.tell("PING whatever") // is not understood: what it said counts
	want("t", "c:1 a:2some not b:2 (this node is being drained)")
	a.tell("PING all")
	b.tell("PING all")
	d.post("/topic/tombstone?topic=t&node=b:2")
	want("t", "a:0all c:1") // not the one that is to forget it
	want("u", "a:1all b:1all c:1")
	d.clock.advance(41 * time.Second)
	a.tell("PING all")
	want("t", "a:0all c:3") // c should have given a sign of life
	d.clock.advance(5 * time.Minute)
	c.tell("PING")
	want("t", "c:1 a:2all")
	d.clock.advance(1)
	want("t", "c:1")
}

func TestIntroductionSaysWhatANodeTakes(t *testing.T) {
	d := openDirectory(t)
	for host, says := range map[string]string{
		"a": `{"takes":"none","why":"full"}`,
		"b": `{"takes":"much"}`,
		"c": `{"takes":"some","why":"` + strings.Repeat("x", maxWhy+1) + `"}`,
		"d": `null`,
	} {
		n := d.dial()
		n.send("  V1" + identifyWith(`{"broadcast_address":"`+host+`","tcp_port":1,"http_port":2,"version":"1","publishes":`+says+`}`))
		n.reply(`{"broadcast_address":"here","hostname":"host","http_port":4161,"tcp_port":4160,"version":"2.0.0"}`)
	}
	if got, want := d.writers("t"), "b:1 c:1 d:1 not a:2 (full)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRefusedQuestions(t *testing.T) {
	d := openDirectory(t)
	for target, want := range map[string]string{
		"/lookup?access=w":                `{"message":"MISSING_ARG_TOPIC"}`,
		"/lookup?topic=*&access=w":        "INVALID_ARG_TOPIC",
		"/lookup?topic=t&access=rw":       `{"allowed":"r or w","message":"INVALID_ARG_ACCESS"}`,
		"/lookup?topic=t&wait=soon":       `{"allowed":"a time of up to 5m, such as 30s","message":"INVALID_ARG_WAIT"}`,
		"/lookup?topic=t&wait=-1s":        "INVALID_ARG_WAIT",
		"/lookup?topic=t&wait=5m1ns":      "INVALID_ARG_WAIT",
		"/lookup?topic=t&wait=":           "INVALID_ARG_WAIT",
		"/lookup?topic=%zz&wait=1s":       "INVALID_REQUEST",
		"/lookup?topic=t&wait=3h&index=x": "INVALID_ARG_WAIT",
	} {
		if status, body := d.request("GET", target); status != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", target, status, body, want)
		}
	}
}

// indexed asks for an answer with its index.
func (d *directory) indexed(target string) (status int, index string) {
	d.t.Helper()
	status, body := d.request("GET", target)
	var answer struct {
		Index string `json:"index"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Index == "" {
		d.t.Fatalf("%s: %s", target, body)
	}
	return status, answer.Index
}

// TestWaitEndsWithEachChange: whatever changes who is listed ends a wait that shows
// the index from before, be it under way or yet to come.
func TestWaitEndsWithEachChange(t *testing.T) {
	d := openDirectory(t)
	a, b := d.join("a"), d.join("b")
	readers, writers := "/lookup?topic=t&wait=5m", "/lookup?topic=t&wait=5m&access=w"
	var c *nodeConn
	for _, change := range []struct {
		what string
		do   func()
		of   []string
	}{
		{"a topic is made", func() { d.post("/topic/create?topic=t") }, []string{readers}},
		{"a node has it", func() { a.tell("REGISTER t") }, []string{readers, writers}},
		{"another one has it", func() { b.tell("REGISTER t c") }, []string{readers, writers}},
		{"a node refuses", func() { b.tell("PING none drained") }, []string{writers}},
		{"a node takes some", func() { b.tell("PING some") }, []string{writers}},
		{"a node comes", func() { c = d.join("c") }, []string{writers}},
		{"a node goes", func() { c.leave() }, []string{writers}},
		{"a node is tombstoned", func() { d.post("/topic/tombstone?topic=t&node=a:2") }, []string{readers, writers}},
		{"a node has it no more", func() { b.tell("UNREGISTER t") }, []string{readers, writers}},
		{"the topic is deleted", func() { d.post("/topic/delete?topic=t") }, []string{readers, writers}},
		{"it is back", func() { b.tell("REGISTER t") }, []string{readers, writers}},
		{"its node goes", func() { b.leave() }, []string{readers, writers}},
	} {
		var shown []string
		ended := make(chan string, len(change.of))
		for _, target := range change.of {
			_, index := d.indexed(target)
			target += "&index=" + index
			shown = append(shown, target)
			go func() { d.request("GET", target); ended <- target }()
		}
		for d.db.waiters.count.Load() < int64(len(change.of)) {
			time.Sleep(time.Millisecond) // until they wait
		}
		change.do()
		for range change.of {
			select {
			case <-ended:
			case <-time.After(testTimeout):
				t.Fatalf("%s, and somebody waits on", change.what)
			}
		}
		for _, target := range shown { // from before the change: no wait
			began := time.Now()
			if d.request("GET", target); time.Since(began) > testTimeout {
				t.Errorf("%s, and who asks afterwards waits", change.what)
			}
		}
	}
	if n := d.db.waiters.count.Load(); n != 0 || len(d.db.waiters.asks) != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// TestWaitEndsWithTime: tombstones end and silent nodes are hidden without
// anybody saying so.
func TestWaitEndsWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := NewDB(DBOptions{InactiveTimeout: 5 * time.Minute, TombstoneLifetime: 45 * time.Second})
		h := NewHTTP(db, Options{Logger: newLog()})
		d := &directory{t: t, db: db, http: h}
		p := db.join("r", Identity{BroadcastAddress: "a", TCPPort: 1, HTTPPort: 2, Version: "1"})
		p.register("t", "")
		db.tombstone("t", "a:2", address.Asker{})
		wait := func(target string, want time.Duration) {
			t.Helper()
			_, index := d.indexed(target)
			began := time.Now()
			d.request("GET", target+"&index="+index)
			if took := time.Since(began).Round(time.Millisecond); took != want {
				t.Errorf("%s waits %v, want %v", target, took, want)
			}
		}
		wait("/lookup?topic=t&wait=5m", 45*time.Second)
		p.heardOf()
		wait("/lookup?topic=t&wait=30s", 30*time.Second)         // nothing changes
		wait("/lookup?topic=t&wait=5m&access=w", 10*time.Second) // it is late
		wait("/lookup?topic=t&wait=5m", 260*time.Second)         // it is hidden
	})
}

func TestWaitersAreBoundedAndEndWithTheDirectory(t *testing.T) {
	d := openDirectory(t)
	d.db.waiters.count.Store(maxWaiters)
	_, index := d.indexed("/lookup?topic=t&wait=1s")
	if status, body := d.request("GET", "/lookup?topic=t&wait=1s&index="+index); status != 503 || body != `{"limit":10000,"message":"TOO_MANY_WAITERS"}` {
		t.Error(status, body)
	}
	d.db.waiters.count.Store(0)
	ended := make(chan int)
	go func() {
		status, _ := d.request("GET", "/lookup?topic=t&wait=5m&index="+index)
		ended <- status
	}()
	for d.db.waiters.count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	d.http.Close(t.Context())
	select {
	case status := <-ended:
		if status != 404 {
			t.Error(status)
		}
	case <-time.After(testTimeout):
		t.Error("it waits on")
	}
}

func TestDirectoryIsToldWhatANodeTakes(t *testing.T) {
	inScene(t, func(s *scene) {
		tcp := s.realDirectory()
		var taking atomic.Value
		taking.Store(Taking{TakesNone, "a\ndisk is  full"})
		s.Tell(func() Taking { return taking.Load().(Taking) })
		s.Start(me, []string{"d"})
		want := func(want string) {
			t.Helper()
			synctest.Wait()
			if answer, _ := tcp.db.writers("t", address.Asker{}); answer.text() != want {
				t.Errorf("%q, want %q", answer.text(), want)
			}
		}
		want("not me:2 (a disk is full)") // from its first moment
		taking.Store(Taking{Takes: TakesAll})
		s.TakingChanged()
		want("me:1all")
		taking.Store(Taking{TakesSome, strings.Repeat("é", 200)})
		time.Sleep(pingInterval) // nobody said that it changed
		want("me:3some")
	})
}

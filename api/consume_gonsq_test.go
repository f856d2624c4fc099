package api

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/wire"
)

// TestStockConsumerAndRequestsShareAChannel until it is empty: each message is finished once.
func TestStockConsumerAndRequestsShareAChannel(t *testing.T) {
	const messages = 2000
	r := start(t)
	r.must("POST", "/mpub?topic=t", strings.Repeat("x\n", messages))
	var mu sync.Mutex
	finished := make(map[string]int)
	note := func(id string) {
		mu.Lock()
		defer mu.Unlock()
		finished[id]++
	}
	config := nsq.NewConfig()
	config.MaxInFlight = 5
	k, err := nsq.NewConsumer("t", "c", config)
	if err != nil {
		t.Fatal(err)
	}
	k.SetLogger(nil, nsq.LogLevelMax)
	tcp := make(chan struct{}, messages)
	k.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		note(string(m.ID[:]))
		tcp <- struct{}{}
		return nil
	}))
	if err := k.ConnectToNSQD(r.address); err != nil {
		t.Fatal(err)
	}
	defer func() {
		k.Stop()
		<-k.StopChan
	}()
	select {
	case <-tcp: // it has its part
	case <-time.After(wire.Timeout):
		t.Fatal("the consumer over TCP gets nothing")
	}
	overHTTP := 0
	eventually(t, func() bool {
		a := r.sub("topic=t&channel=c&max=20")
		ids := make([]string, 0, len(a.Messages))
		for _, m := range a.Messages {
			note(m.ID)
			ids = append(ids, m.ID)
		}
		if overHTTP += len(ids); len(ids) > 0 {
			r.must("POST", "/fin?topic=t&channel=c", strings.Join(ids, "\n"))
		}
		s := r.channelStats("t", "c")
		return s.Depth == 0 && s.InFlight == 0
	})
	mu.Lock()
	defer mu.Unlock()
	for id, n := range finished {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	if len(finished) != messages || overHTTP == 0 || overHTTP == messages {
		t.Errorf("%d messages, %d of them over HTTP", len(finished), overHTTP)
	}
}

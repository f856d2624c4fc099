package main

import (
	"io"
	"log"
	"strings"
	"sync"
	"testing"

	"github.com/nsqio/go-nsq"

	"qmq/daemon"
)

// TestDrainWaitsUntilConsumersHaveEmptiedTheNode, unless it is undone before.
func TestDrainWaitsUntilConsumersHaveEmptiedTheNode(t *testing.T) {
	d, err := daemon.Launch(daemon.QD, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--data-path=" + t.TempDir()}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() { d.Stop() })
	t.Cleanup(stop)
	s := &server{t: t, d: d, tcp: d.Addresses()["TCP"], http: d.Addresses()["HTTP"]}
	s.post("/topic/create", "topic", "left")
	s.post("/channel/create", "topic", "left", "channel", "alone")
	must(t, "nobody wants it", "pub", "left", "--http-addr="+s.http)

	handling, release := make(chan struct{}, 1), make(chan struct{})
	consumer, err := nsq.NewConsumer("t", "c", nsq.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	consumer.AddHandler(nsq.HandlerFunc(func(*nsq.Message) error {
		handling <- struct{}{}
		<-release
		return nil
	}))
	if err := consumer.ConnectToNSQD(s.tcp); err != nil {
		t.Fatal(err)
	}
	defer func() { consumer.Stop(); <-consumer.StopChan }()
	must(t, "one", "pub", "t", "--http-addr="+s.http)
	<-handling

	told := must(t, "", "drain", "--no-wait", s.http)
	for _, want := range []string{": draining, until ", "  waiting for t/c (0 waiting, 1 in flight, 0 deferred)", "  not waiting for left/alone (1 waiting, 0 in flight, 0 deferred): no consumer"} {
		if !strings.Contains(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	wantRefusal(t, exitFailed, "drained", "pub", "t", "--http-addr="+s.http, "again")
	if told := must(t, "", "drain", "--undo", s.http); told != s.http+": it takes publishes\n" {
		t.Errorf("told %q", told)
	}
	go func() {
		<-daemon.Drained(d)
		stop()
	}()
	go close(release)
	if told := must(t, "", "drain", s.http); !strings.HasSuffix(told, s.http+": it has stopped\n") {
		t.Errorf("told %q", told)
	}
}

func TestDrainOfNobodySaysSo(t *testing.T) {
	wantRefusal(t, exitFailed, "127.0.0.1:1", "drain", "127.0.0.1:1")
}

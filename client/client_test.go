package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/client"
	"qmq/daemon"
	"qmq/test/process"
)

func body(text string) client.Message { return client.Message{Body: []byte(text)} }

func TestWhatCannotBeIsRefusedWithWhatIsAllowed(t *testing.T) {
	for _, test := range []struct {
		o    client.Options
		want string
	}{
		{client.Options{}, "neither Nodes nor Directories"},
		{client.Options{Nodes: []string{"a:1"}, Directories: []string{"b:2"}}, "exclude each other"},
		{client.Options{Nodes: []string{"a"}}, "host:port"},
		{client.Options{Directories: []string{"b:2", "a"}}, `directory "a": it must be host:port`},
		{client.Options{Nodes: []string{"a:1"}, Patience: -1}, "negative"},
	} {
		if _, err := client.Open(test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %s", test.o, err, test.want)
		}
	}
	c := open(t, client.Options{Nodes: []string{"127.0.0.1:1"}})
	for _, test := range []struct {
		topic    string
		messages []client.Message
		want     string
	}{
		{"*", []client.Message{body("x")}, `topic "*"`},
		{"t", nil, "no message"},
		{"t", []client.Message{body("")}, "message 1: a body of 0 bytes"},
		{"t", []client.Message{body("x"), {Body: []byte("x"), Key: strings.Repeat("k", 256)}}, "message 2: a key of 256 bytes: it may have 255"},
		{"t", []client.Message{{Body: []byte("x"), Priority: 10}}, "priority 10: it is 0 to 9"},
		{"t", []client.Message{{Body: []byte("x"), Headers: client.Headers{{Key: "a b"}}}}, `header "a b"`},
		{"t", []client.Message{{Body: []byte("x"), Headers: client.Headers{{Key: "KEY", Value: "k"}}}}, "a field of the message"},
		{"t", []client.Message{{Body: []byte("x"), Headers: client.Headers{{Key: "a", Value: strings.Repeat("v", 20<<10)}}}}, "16384"},
		{"t", []client.Message{{Body: []byte("x"), Headers: make(client.Headers, 65)}}, "header"},
		{"t", []client.Message{body("x"), {Body: []byte("x"), Delay: time.Second}}, "a delay of 1s"},
	} {
		if err := c.Publish(t.Context(), test.topic, test.messages...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
	if _, err := c.Batcher("t", client.BatchOptions{Bytes: 5 << 20}); err == nil {
		t.Error("a batch of 5 MiB is taken")
	}
	if err := c.Consume(t.Context(), client.Consumption{Topic: "t", Channel: "*"}, nil); err == nil {
		t.Error("a channel * is consumed")
	}
	if _, err := c.Request(t.Context(), "t", client.Message{Body: []byte("x"), Headers: client.Headers{{Key: "Reply-To", Value: "t"}}}); err == nil {
		t.Error("a request says whom to reply to")
	}
}

// TestPublishesGoAroundNodesThatRefuse has a node that is drained, one that is not there,
// and one that takes publishes.
func TestPublishesGoAroundNodesThatRefuse(t *testing.T) {
	drained, good := startNode(t), startNode(t)
	hold(t, drained)
	post(t, drained, "/drain")
	c := open(t, client.Options{Nodes: []string{drained.Addresses()["TCP"], "127.0.0.1:1", good.Addresses()["TCP"]}})
	for i := range 20 {
		if err := c.Publish(limited(t), "t", body(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	publishInVain(t, client.Options{Nodes: []string{drained.Addresses()["TCP"], "127.0.0.1:1"}}, "t", func(err error) bool {
		var unpublished *client.UnpublishedError
		return errors.As(err, &unpublished) && len(unpublished.Tried) == 2 && strings.Contains(err.Error(), "drained")
	})
	var refused *client.RefusedError
	if err := c.Publish(limited(t), "t", body(strings.Repeat("x", 2<<20))); !errors.As(err, &refused) {
		t.Errorf("a message of 2 MiB: %v", err)
	}
}

// hold has a node wait for a consumer, so that it does not stop when it is drained.
func hold(t *testing.T, d daemon.Daemon) {
	t.Helper()
	consumer, err := nsq.NewConsumer("held", "c", nsq.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLoggerLevel(nsq.LogLevelMax)
	held, release := make(chan bool, 1), make(chan bool)
	consumer.AddHandler(nsq.HandlerFunc(func(*nsq.Message) error { held <- true; <-release; return nil }))
	if err := consumer.ConnectToNSQD(d.Addresses()["TCP"]); err != nil {
		t.Fatal(err)
	}
	post(t, d, "/pub?topic=held")
	<-held
	t.Cleanup(func() { close(release); consumer.Stop(); <-consumer.StopChan })
}

func post(t *testing.T, d daemon.Daemon, path string) {
	t.Helper()
	r, err := http.Post("http://"+d.Addresses()["HTTP"]+path, "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatal(path, r.Status)
	}
}

// TestDirectoryLeadsToTheNodesThatTakePublishes follows three nodes as they come, are
// drained and go, and then the death of the directory and of all nodes.
func TestDirectoryLeadsToTheNodesThatTakePublishes(t *testing.T) {
	directory := startDirectory(t)
	at := "--lookupd-tcp-address=" + directory.Addresses()["TCP"]
	a := startNode(t, at)
	c := open(t, client.Options{Directories: []string{directory.Addresses()["HTTP"], "127.0.0.1:1"}, Patience: 20 * time.Second})
	if err := c.Publish(limited(t), "t", body("to the only one")); err != nil {
		t.Fatal(err)
	}
	b := startNode(t, at)
	hold(t, a)
	post(t, a, "/drain")
	if err := c.Publish(limited(t), "t", body("to the other one")); err != nil {
		t.Fatal(err)
	}
	directory.Stop()
	if err := c.Publish(limited(t), "t", body("without a directory")); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	var unpublished *client.UnpublishedError
	publishInVain(t, client.Options{Directories: []string{directory.Addresses()["HTTP"]}}, "t", func(err error) bool {
		return errors.As(err, &unpublished) && strings.Contains(err.Error(), "no directory answers")
	})
	process.Eventually(t, "it knows of no node", func() bool { // a connection may have looked good a moment ago
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Publish(ctx, "t", body("x"))
		if err == nil {
			t.Error("it publishes to nobody")
		}
		return errors.As(err, &unpublished) && errors.Is(err, context.DeadlineExceeded)
	})
}

// TestConsumerIsToldOfNewNodesAtOnce has consumers of both kinds wait for a topic that
// no node has, which then come to be at two nodes.
func TestConsumerIsToldOfNewNodesAtOnce(t *testing.T) {
	directory := startDirectory(t)
	at := "--lookupd-tcp-address=" + directory.Addresses()["TCP"]
	a, b := startNode(t, at), startNode(t, at)
	c := open(t, client.Options{Directories: []string{directory.Addresses()["HTTP"]}})
	ctx, cancel := context.WithCancel(limited(t))
	got := make(chan string, 10)
	var running sync.WaitGroup
	running.Go(func() {
		err := c.Consume(ctx, client.Consumption{Topic: "t", Channel: "ours"}, func(_ context.Context, d *client.Delivery) error {
			got <- "ours " + string(d.Body)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	config := nsq.NewConfig()
	config.MaxInFlight = 10
	stock, err := nsq.NewConsumer("t", "stock", config)
	if err != nil {
		t.Fatal(err)
	}
	stock.SetLoggerLevel(nsq.LogLevelMax)
	stock.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error { got <- "stock " + string(m.Body); return nil }))
	running.Go(func() {
		if err := c.Feed(ctx, stock, "t"); err != nil {
			t.Error(err)
		}
	})
	for _, node := range []daemon.Daemon{a, b} {
		post(t, node, "/topic/create?topic=t")
		post(t, node, "/channel/create?topic=t&channel=ours")
		post(t, node, "/channel/create?topic=t&channel=stock")
		post(t, node, "/pub?topic=t")
		two := []string{process.Next(t, got), process.Next(t, got)}
		if slices.Sort(two); !slices.Equal(two, []string{"ours x", "stock x"}) {
			t.Errorf("got %q", two)
		}
	}
	cancel()
	running.Wait()
	stock.Stop()
	<-stock.StopChan
}

func TestFailedMessageComesAgainWithItsHeaders(t *testing.T) {
	node := startNode(t)
	c := open(t, client.Options{Nodes: []string{node.Addresses()["TCP"]}})
	err := c.Publish(limited(t), "t", client.Message{Body: []byte("x"), Key: "k", Priority: 3, DedupID: "d", Headers: client.Headers{{"A", "1"}, {"a", "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	attempts := 0
	err = c.Consume(ctx, client.Consumption{Topic: "t", Channel: "c", Handlers: 3}, func(_ context.Context, d *client.Delivery) error {
		if attempts++; attempts == 1 {
			return client.After(time.Millisecond, errors.New("not now"))
		}
		d.Touch()
		if d.Attempts != 2 || d.Key() != "k" || d.Headers.Get("priority") != "3" || d.Headers.Get("A") != "1" || len(d.ID) != 16 {
			t.Errorf("%+v", d)
		}
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCloseEndsEverything looks for goroutines that a client leaves behind, closed with
// publishes, batches, requests, consumers under way.
func TestCloseEndsEverything(t *testing.T) {
	leavesNothing(t)
	directory := startDirectory(t)
	startNode(t, "--lookupd-tcp-address="+directory.Addresses()["TCP"])
	for range 3 {
		c, err := client.Open(client.Options{Directories: []string{directory.Addresses()["HTTP"]}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(limited(t), "t", body("x")); err != nil {
			t.Fatal(err)
		}
		b, err := c.Batcher("t", client.BatchOptions{Linger: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Add(t.Context(), body("y"))
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if err := c.Consume(t.Context(), client.Consumption{Topic: "t", Channel: "c"}, func(context.Context, *client.Delivery) error { return nil }); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			if _, err := c.Request(limited(t), "silent", body("x")); !errors.Is(err, client.ErrClosed) && !errors.Is(err, client.ErrNoResponders) {
				t.Error(err)
			}
		})
		c.Close()
		running.Wait()
		if err := r.Wait(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("a batch that was not sent: %v", err)
		}
		if _, err := b.Add(t.Context(), body("z")); !errors.Is(err, client.ErrBatcherClosed) {
			t.Errorf("a batch of a client that is closed: %v", err)
		}
		if err := c.Publish(t.Context(), "t", body("x")); !errors.Is(err, client.ErrClosed) {
			t.Errorf("a client that is closed: %v", err)
		}
		c.Close()
	}
}

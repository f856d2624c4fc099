package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/client"
	"qmq/test/process"
)

// leavesNothing wants no goroutine of a client to be there when the test has ended, after
// all that is cleaned up later than now.
func leavesNothing(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		ours := func() (list []string) {
			stacks := make([]byte, 4<<20)
			for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
				if strings.Contains(stack, "qmq/client.(") || strings.Contains(stack, "qmq/internal/tcpclient.") || strings.Contains(stack, "qmq/lookup.(*Client)") {
					list = append(list, stack)
				}
			}
			return list
		}
		deadline := time.Now().Add(testTimeout)
		for len(ours()) > 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if left := ours(); len(left) > 0 {
			t.Errorf("%d goroutines are left, such as\n%s", len(left), left[0])
		}
	})
}

// startMute is a node that answers IDENTIFY, and then nothing any more.
func startMute(t *testing.T) (address string) {
	t.Helper()
	f := startForgetful(t, 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go mute(conn, f.address)
		}
	}()
	return l.Addr().String()
}

// mute passes on what a node answers first.
func mute(conn net.Conn, to string) {
	defer conn.Close()
	node, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer node.Close()
	go io.Copy(node, conn)
	first := make([]byte, 1024)
	if n, err := node.Read(first); err == nil {
		conn.Write(first[:n])
	}
	io.Copy(io.Discard, node)
}

func TestContextEndsAPublish(t *testing.T) {
	leavesNothing(t)
	node := startNode(t)
	c := open(t, client.Options{Nodes: []string{node.Addresses()["TCP"]}})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var unpublished *client.UnpublishedError
	if err := c.Publish(over, "t", body("x")); !errors.As(err, &unpublished) || !errors.Is(err, context.Canceled) {
		t.Errorf("of a context that is over: %v", err)
	}
	if _, err := c.Request(over, "t", body("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("a request of a context that is over: %v", err)
	}
	if err := c.Consume(over, client.Consumption{Topic: "t", Channel: "c"}, nil); err != nil {
		t.Errorf("a consumer of a context that is over: %v", err)
	}
	silent := open(t, client.Options{Nodes: []string{startMute(t)}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err := silent.Publish(ctx, "t", body("x"))
	var unanswered *client.UnansweredError
	if !errors.As(err, &unanswered) && !errors.As(err, &unpublished) || !errors.Is(err, context.Canceled) {
		t.Errorf("what may have been sent: %v", err)
	}
	publishInVain(t, client.Options{Nodes: []string{startMute(t)}}, "t", func(err error) bool { return errors.As(err, &unanswered) })
}

// A batcher holds two batches, the one that is on its way and the next one: who adds more
// waits, until there is room, its context is over, or the batcher or the client is closed.
func TestBatcherPushesBack(t *testing.T) {
	leavesNothing(t)
	for name, end := range map[string]func(*client.Client, *client.Batcher){
		"its context": nil,
		"the batcher": func(_ *client.Client, b *client.Batcher) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			b.Close(ctx)
		},
		"the client": func(c *client.Client, _ *client.Batcher) { c.Close() },
	} {
		c := open(t, client.Options{Nodes: []string{startMute(t)}})
		b, err := c.Batcher("t", client.BatchOptions{Messages: 2})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if _, err := b.Add(limited(t), body(fmt.Sprint(i))); err != nil {
				t.Errorf("%s: message %d: %v", name, i, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := b.Add(ctx, body("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: a message more than there is room for: %v", name, err)
		}
		cancel()
		if end != nil {
			time.AfterFunc(20*time.Millisecond, func() { end(c, b) })
			if _, err := b.Add(limited(t), body("x")); !errors.Is(err, client.ErrBatcherClosed) {
				t.Errorf("%s ends while somebody waits: %v", name, err)
			}
		}
		c.Close()
	}
}

// No more messages are on their way than was said, however slow the handlers are.
func TestSlowHandlersAreNotFlooded(t *testing.T) {
	leavesNothing(t)
	node := startNode(t)
	c := open(t, client.Options{Nodes: []string{node.Addresses()["TCP"]}})
	const messages = 200
	var list []client.Message
	for i := range messages {
		list = append(list, body(fmt.Sprint(i)))
	}
	if err := c.Publish(limited(t), "t", list...); err != nil {
		t.Fatal(err)
	}
	ctx, done := context.WithCancel(limited(t))
	var atOnce, most, handled atomic.Int64
	err := c.Consume(ctx, client.Consumption{Topic: "t", Channel: "c", Handlers: 3, MaxInFlight: 5}, func(context.Context, *client.Delivery) error {
		for now := atOnce.Add(1); ; {
			if before := most.Load(); now <= before || most.CompareAndSwap(before, now) {
				break
			}
		}
		defer atOnce.Add(-1)
		stats := get(t, node.Addresses()["HTTP"], "/stats?format=json&topic=t&channel=c")
		for n := 6; n <= messages; n++ {
			if strings.Contains(stats, fmt.Sprintf(`"in_flight_count":%d,`, n)) {
				t.Errorf("%d messages are in flight", n)
			}
		}
		if handled.Add(1) == messages {
			done()
		}
		return nil
	})
	if err != nil || handled.Load() != messages || most.Load() > 3 {
		t.Errorf("%d messages, %d at a time, %v", handled.Load(), most.Load(), err)
	}
}

func get(t *testing.T, address, path string) string {
	t.Helper()
	r, err := http.Get("http://" + address + path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// Batches of a node that dies in the middle have fates that are true, and the batcher goes
// on when it is back.
func TestBatcherOutlivesItsNode(t *testing.T) {
	leavesNothing(t)
	bin := process.Build(t, "cmd/qd")
	node := process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qd"), Args: []string{"--broadcast-address=127.0.0.1", "--data-path=" + t.TempDir()}})
	node.Start(t)
	c := open(t, client.Options{Nodes: []string{node.TCP}, Patience: 100 * time.Millisecond})
	b, err := c.Batcher("t", client.BatchOptions{Messages: 10, Linger: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	stored := make(map[string]bool)
	var fates sync.WaitGroup
	var good, lost, none atomic.Int64
	add := func(text string) {
		r, err := b.Add(limited(t), body(text))
		if err != nil {
			t.Fatal(err)
		}
		fates.Go(func() {
			err := r.Wait(limited(t))
			var unanswered *client.UnansweredError
			var unpublished *client.UnpublishedError
			switch {
			case err == nil:
				good.Add(1)
				mu.Lock()
				stored[text] = true
				mu.Unlock()
			case errors.As(err, &unanswered):
				lost.Add(1)
			case errors.As(err, &unpublished):
				none.Add(1)
			default:
				t.Errorf("%s: %v", text, err)
			}
		})
	}
	i := 0
	until := func(enough func() bool) {
		for deadline := time.Now().Add(testTimeout); !enough(); i++ {
			if add(fmt.Sprint(i)); time.Now().After(deadline) {
				t.Fatalf("%d are stored, %d may be, %d are not", good.Load(), lost.Load(), none.Load())
			}
		}
	}
	until(func() bool { return good.Load() > 500 })
	node.Kill()
	until(func() bool { return none.Load() > 50 })
	node.Start(t)
	before := good.Load()
	until(func() bool { return good.Load() > before+500 })
	if err := b.Close(limited(t)); err != nil {
		t.Error(err)
	}
	fates.Wait()
	t.Logf("%d stored, %d perhaps, %d not", good.Load(), lost.Load(), none.Load())
	ctx, done := context.WithCancel(limited(t))
	defer done()
	err = c.Consume(ctx, client.Consumption{Topic: "t", Channel: "c", Handlers: 8, MaxInFlight: 500}, func(_ context.Context, d *client.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if delete(stored, string(d.Body)); len(stored) == 0 {
			done()
		}
		return nil
	})
	if err != nil || len(stored) > 0 {
		t.Errorf("%d messages that were stored are lost, %v", len(stored), err)
	}
}

// TestNodesThatAskWhoItIs has one that wants TLS, and a secret.
func TestNodesThatAskWhoItIs(t *testing.T) {
	leavesNothing(t)
	rights := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("secret") != "right" {
			http.Error(w, "who are you", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"ttl":3600,"identity":"test","authorizations":[{"topic":"^(mine|inbox-.*)(#ephemeral)?$","channels":[".*"],"permissions":["publish","subscribe"]}]}`)
	}))
	defer rights.Close()
	cert, key, trusts := process.Certificate(t)
	node := startNode(t, "--tls-cert="+cert, "--tls-key="+key, "--tls-required=tcp-https", "--auth-http-address="+strings.TrimPrefix(rights.URL, "http://"))
	nodes := []string{node.Addresses()["TCP"]}
	for name, test := range map[string]struct {
		o       client.Options
		topic   string
		refused string // empty: it is not
	}{
		"in clear":           {client.Options{Secret: "right"}, "mine", "TLS"},
		"unknown authority":  {client.Options{Secret: "right", TLS: &tls.Config{RootCAs: x509.NewCertPool()}}, "mine", "certificate"},
		"without a secret":   {client.Options{TLS: trusts}, "mine", "AUTH"},
		"wrong secret":       {client.Options{TLS: trusts, Secret: "wrong"}, "mine", "AUTH"},
		"of another's topic": {client.Options{TLS: trusts, Secret: "right"}, "others", "AUTH failed for PUB"},
		"all is well":        {client.Options{TLS: trusts, Secret: "right"}, "mine", ""},
		"compressed":         {client.Options{TLS: trusts, Secret: "right", Snappy: true}, "mine", ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.Nodes = nodes
			if test.refused != "" {
				publishInVain(t, test.o, test.topic, func(err error) bool { return err != nil && strings.Contains(err.Error(), test.refused) })
				return
			}
			test.o.Patience = testTimeout
			c := open(t, test.o)
			if err := c.Publish(limited(t), test.topic, body("x")); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(limited(t))
			replying := make(chan error, 1)
			go func() {
				replying <- c.Reply(ctx, client.Consumption{Topic: "mine#ephemeral"}, func(_ context.Context, d *client.Delivery) (client.Message, error) {
					return client.Message{Body: d.Body}, nil
				})
			}()
			if d, err := c.Request(limited(t), "mine#ephemeral", body("ping")); err != nil || string(d.Body) != "ping" {
				t.Error(d, err)
			}
			stop()
			if err := <-replying; err != nil {
				t.Error(err)
			}
		})
	}
}

// A directory that is started anew, and knows nobody at first, is followed as before.
func TestDirectoryThatIsStartedAnewIsFollowed(t *testing.T) {
	leavesNothing(t)
	bin := process.Build(t, "cmd/qlookupd")
	directory := process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qlookupd"), Args: []string{"--broadcast-address=127.0.0.1"}})
	directory.Start(t)
	at := "--lookupd-tcp-address=" + directory.TCP
	first := startNode(t, at)
	c := open(t, client.Options{Directories: []string{directory.HTTP}, Patience: testTimeout})
	if err := c.Publish(limited(t), "t", body("one")); err != nil {
		t.Fatal(err)
	}
	ctx, done := context.WithCancel(limited(t))
	got := make(chan string, 10)
	consumed := make(chan error, 1)
	go func() {
		consumed <- c.Consume(ctx, client.Consumption{Topic: "t", Channel: "c"}, func(_ context.Context, d *client.Delivery) error {
			got <- string(d.Body)
			return nil
		})
	}()
	if text := process.Next(t, got); text != "one" {
		t.Error(text)
	}
	directory.Kill()
	directory.Start(t)
	second := startNode(t, at)
	post(t, second, "/pub?topic=t")
	if text := process.Next(t, got); text != "x" {
		t.Error(text)
	}
	first.Stop()
	if err := c.Publish(limited(t), "t", body("two")); err != nil {
		t.Error(err)
	}
	if text := process.Next(t, got); text != "two" {
		t.Error(text)
	}
	done()
	if err := <-consumed; err != nil {
		t.Error(err)
	}
}

package page

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// rig are daemons at work: a directory, two nodes, and qadmin on top.
type rig struct {
	t      *testing.T
	lookup *daemon
	nodes  []*daemon
	admin  *daemon
}

// daemon is one of them.
type daemon struct{ *process.Daemon }

// base is where qadmin's page is.
func (d *daemon) base() string { return "http://" + d.HTTP + "/" }

func startRig(t *testing.T, nodes ...string) *rig {
	t.Helper()
	r := &rig{t: t}
	r.lookup = r.daemon("qlookupd")
	r.lookup.Start(t)
	for i, extra := range nodes {
		n := r.daemon("qd", "--lookupd-tcp-address="+r.lookup.TCP, "--data-path="+t.TempDir(), fmt.Sprintf("--node-id=%d", i+1))
		n.Command.Args = append(n.Command.Args, strings.Fields(extra)...)
		r.nodes = append(r.nodes, n)
		n.Start(t)
	}
	awaitJSON(t, "http://"+r.lookup.HTTP+"/nodes", func(answer struct{ Producers []struct{} }) bool { return len(answer.Producers) == len(nodes) })
	r.admin = r.startAdmin("--lookupd-http-address="+r.lookup.HTTP, "--cluster-name=shop-eu")
	return r
}

// daemon has addresses of its own.
func (r *rig) daemon(program string, args ...string) *daemon {
	r.t.Helper()
	return &daemon{process.NewDaemon(r.t, process.Command{Binary: filepath.Join(binaries, program), Args: append([]string{"--broadcast-address=127.0.0.1"}, args...)})}
}

// startAdmin starts one more qadmin.
func (r *rig) startAdmin(args ...string) *daemon {
	r.t.Helper()
	address := process.Address(r.t)
	command := process.Command{Binary: filepath.Join(binaries, "qadmin"), Args: append([]string{"--http-address=" + address}, args...)}
	d := &daemon{&process.Daemon{Command: command, HTTP: address}}
	d.Start(r.t)
	return d
}

// awaitJSON asks until the answer is as wanted.
func awaitJSON[T any](t testing.TB, url string, wanted func(T) bool) {
	t.Helper()
	var text []byte // the last answer
	process.Eventually(t, url+" answers as wanted", func() bool {
		response, err := http.Get(url)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		var answer T
		text, err = io.ReadAll(response.Body)
		return err == nil && json.Unmarshal(text, &answer) == nil && wanted(answer)
	})
}

// post sends a command to a node.
func (d *daemon) post(t testing.TB, path, body string) {
	t.Helper()
	if _, err := process.Ask(t.Context(), http.DefaultClient, http.MethodPost, d.HTTP, path, body); err != nil {
		t.Fatal(err)
	}
}

// awaitDepth waits until a channel has so many messages: of a new topic they wait until the
// node has heard from its directories which channels it has elsewhere.
func (d *daemon) awaitDepth(t testing.TB, topic, channel string, depth int64) {
	t.Helper()
	awaitJSON(t, "http://"+d.HTTP+"/stats?format=json&topic="+topic+"&channel="+channel, func(stats struct {
		Topics []struct {
			Channels []struct {
				Depth int64 `json:"depth"`
			} `json:"channels"`
		} `json:"topics"`
	}) bool {
		return len(stats.Topics) == 1 && len(stats.Topics[0].Channels) == 1 && stats.Topics[0].Channels[0].Depth == depth
	})
}

// publish sends messages to a node at a steady pace until the test ends.
func (d *daemon) publish(t testing.TB, topic string, perSecond int, body func(n int) string) {
	producer, err := nsq.NewProducer(d.TCP, nsq.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	producer.SetLogger(nil, nsq.LogLevelMax)
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		pace := time.NewTicker(time.Second / time.Duration(perSecond))
		defer pace.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-pace.C:
				_ = producer.Publish(topic, []byte(body(n))) // the node may be dead on purpose
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		done.Wait()
		producer.Stop()
	})
}

// order is what an order may look like.
func order(n int) string {
	return fmt.Sprintf(`{"order": %d, "customer": "c-%04d", "total": %d.%02d, "currency": "EUR", "items": [{"sku": "A-%d", "quantity": %d}]}`,
		480000+n, n*7919%9973, n*31%400+5, n%100, n%89, n%3+1)
}

// consume takes messages from some nodes until the test ends.
func consume(t testing.TB, topic, channel string, config func(*nsq.Config), handler nsq.HandlerFunc, nodes ...*daemon) {
	t.Helper()
	c := nsq.NewConfig()
	c.MaxInFlight = 50
	c.MaxBackoffDuration = 0
	if config != nil {
		config(c)
	}
	consumer, err := nsq.NewConsumer(topic, channel, c)
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLogger(nil, nsq.LogLevelMax)
	consumer.AddConcurrentHandlers(handler, 24)
	for _, n := range nodes {
		if err := consumer.ConnectToNSQD(n.TCP); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		consumer.Stop()
		<-consumer.StopChan
	})
}

// finish is a handler that is content with everything.
func finish(*nsq.Message) error { return nil }

// deleteTopic has qadmin delete a topic everywhere, by the API for scripts.
func (b *tab) deleteTopic(topic string) {
	b.t.Helper()
	if _, err := process.Ask(b.t.Context(), http.DefaultClient, http.MethodDelete, strings.TrimPrefix(b.base, "http://"), "api/topics/"+topic, ""); err != nil {
		b.t.Fatal(err)
	}
}

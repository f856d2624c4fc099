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
	bin    string
	lookup *daemon
	nodes  []*daemon
	admin  *daemon
}

// daemon is a process that may die and come back on the same ports.
type daemon struct {
	t         *testing.T
	binary    string
	args      []string
	tcp, http string
	process   *process.Process
}

func (d *daemon) start() {
	d.t.Helper()
	d.process = process.Start(d.t, d.binary, d.args...)
	d.process.Await("HTTP: listening on ")
}

// base is where qadmin's page is.
func (d *daemon) base() string { return "http://" + d.http + "/" }

func startRig(t *testing.T, nodes ...string) *rig {
	t.Helper()
	r := &rig{t: t, bin: process.Build(t, "cmd/qd", "cmd/qlookupd", "cmd/qadmin")}
	r.lookup = r.daemon("qlookupd")
	r.lookup.start()
	for i, extra := range nodes {
		n := r.daemon("qd", "--lookupd-tcp-address="+r.lookup.tcp, "--data-path="+t.TempDir(), fmt.Sprintf("--node-id=%d", i+1))
		n.args = append(n.args, strings.Fields(extra)...)
		r.nodes = append(r.nodes, n)
		n.start()
	}
	awaitJSON(t, "http://"+r.lookup.http+"/nodes", func(answer struct{ Producers []struct{} }) bool { return len(answer.Producers) == len(nodes) })
	r.admin = r.startAdmin("--lookupd-http-address="+r.lookup.http, "--cluster-name=shop-eu")
	return r
}

// daemon has addresses of its own.
func (r *rig) daemon(program string, args ...string) *daemon {
	d := &daemon{t: r.t, binary: filepath.Join(r.bin, program), tcp: process.Address(r.t), http: process.Address(r.t)}
	d.args = append([]string{"--broadcast-address=127.0.0.1", "--tcp-address=" + d.tcp, "--http-address=" + d.http}, args...)
	return d
}

// startAdmin starts one more qadmin.
func (r *rig) startAdmin(args ...string) *daemon {
	r.t.Helper()
	d := &daemon{t: r.t, binary: filepath.Join(r.bin, "qadmin"), http: process.Address(r.t)}
	d.args = append([]string{"--http-address=" + d.http}, args...)
	d.start()
	return d
}

// awaitJSON asks until the answer is as wanted. Other processes tell nobody
// when they are.
func awaitJSON[T any](t testing.TB, url string, wanted func(T) bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	timeout := time.After(process.Patience)
	for {
		var answer T
		if resp, err := http.Get(url); err == nil {
			err = json.NewDecoder(resp.Body).Decode(&answer)
			resp.Body.Close()
			if err == nil && wanted(answer) {
				return
			}
		}
		select {
		case <-again.C:
		case <-timeout:
			t.Fatalf("%s never answered as wanted; the last answer was %+v", url, answer)
		}
	}
}

// post sends a command to a node.
func (d *daemon) post(t testing.TB, path, body string) {
	t.Helper()
	resp, err := http.Post("http://"+d.http+path, "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body) // for the message only
		t.Fatalf("%s: %s %s", path, resp.Status, text)
	}
}

// publish sends messages to a node at a steady pace until the test ends.
func (d *daemon) publish(t testing.TB, topic string, perSecond int, body func(n int) string) {
	producer, err := nsq.NewProducer(d.tcp, nsq.NewConfig())
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
		if err := consumer.ConnectToNSQD(n.tcp); err != nil {
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
	request, err := http.NewRequest(http.MethodDelete, b.base+"api/topics/"+topic, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		b.t.Fatalf("deleting %s: %s", topic, response.Status)
	}
}

package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
)

// failures is consumers that finish few messages, and what became of those.
type failures struct {
	d          *daemon
	deliveries atomic.Int64

	mu       sync.Mutex
	finished map[string]bool // a FIN was sent
}

// consume consumes a channel until the context ends, over as many connections as that
// takes. decide says how each message is answered: FIN, REQ or not at all.
func (f *failures) consume(ctx context.Context, topic, channel string, decide func(body string) string) {
	for ctx.Err() == nil {
		r, err := f.d.awaitUp(ctx)
		if err != nil {
			return
		}
		c, err := wire.Dial(ctx, r.tcp)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, c.Abort)
		f.connection(ctx, c, topic, channel, decide)
		stop()
		c.Abort()
	}
}

func (f *failures) connection(ctx context.Context, c *wire.Client, topic, channel string, decide func(body string) string) {
	deadline := func() time.Time { return time.Now().Add(time.Minute) }
	if err := c.Subscribe(`{"msg_timeout":1000}`, topic, channel, deadline()); err != nil {
		return
	}
	c.Ready(100)
	for ctx.Err() == nil {
		if err := c.Flush(deadline()); err != nil {
			return
		}
		kind, data, err := c.Next(deadline())
		if err != nil {
			return
		}
		if kind != wire.Delivery {
			continue // an answer that came late
		}
		head, body, err := wire.ParseHead(data)
		if err != nil {
			return
		}
		f.deliveries.Add(1)
		switch decide(string(body)) {
		case "FIN":
			f.mu.Lock()
			f.finished[string(body)] = true
			f.mu.Unlock()
			c.Answer("FIN", &head.ID)
		case "REQ":
			c.Requeue(&head.ID, 0)
		}
	}
}

// left is how many messages a channel has not finished.
func (d *daemon) left(ctx context.Context, topic, channel string) (int64, error) {
	r, err := d.awaitUp(ctx)
	if err != nil {
		return 0, err
	}
	body, err := d.request(ctx, r, "GET", "/stats?format=json&topic="+topic+"&channel="+channel)
	if err != nil {
		return 0, err
	}
	var stats struct {
		Topics []struct {
			Channels []struct {
				Depth    int64 `json:"depth"`
				InFlight int64 `json:"in_flight_count"`
				Deferred int64 `json:"deferred_count"`
				Spent    int64 `json:"dead_lettering_count"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(body, &stats); err != nil {
		return 0, err
	}
	n := int64(0)
	for _, t := range stats.Topics {
		for _, c := range t.Channels {
			n += c.Depth + c.InFlight + c.Deferred + c.Spent
		}
	}
	return n, nil
}

// emptied waits until a channel has finished all its messages.
func (d *daemon) emptied(ctx context.Context, topic, channel string) error {
	for {
		n, err := d.left(ctx, topic, channel)
		if err != nil || n == 0 {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d messages are left in %s/%s: %w", n, topic, channel, ctx.Err())
		}
		wait(ctx, 10*time.Millisecond)
	}
}

func TestEveryMessageThatIsNotFinishedIsADeadLetterHoweverOftenTheDaemonIsKilled(t *testing.T) {
	const batches, batch = 40, 100
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d := newDaemon(t, goodDaemon(t))
	must(d.start(ctx))
	must(d.operate(ctx, "/topic/create", "t", "", false))
	must(d.operate(ctx, "/channel/create", "t", "c", false))
	r, err := d.awaitUp(ctx)
	must(err)
	_, err = process.Ask(ctx, d.client, "PUT", r.http, "/channel/config?topic=t&channel=c", `{"max_attempts": 2, "dead_letter_topic": "dead"}`)
	must(err)
	for n := range batches {
		bodies := make([]string, batch)
		for i := range bodies {
			bodies[i] = strconv.Itoa(n*batch + i)
		}
		_, err = process.Ask(ctx, d.client, "POST", r.http, "/mpub?topic=t", strings.Join(bodies, "\n"))
		must(err)
	}

	f := &failures{d: d, finished: map[string]bool{}}
	consuming, stop := context.WithCancel(ctx)
	var consumers sync.WaitGroup
	for range 3 {
		consumers.Go(func() {
			f.consume(consuming, "t", "c", func(body string) string {
				switch n, _ := strconv.Atoi(body); {
				case n%10 == 0:
					return "FIN"
				case n%97 == 0:
					return "" // it times out
				}
				return "REQ"
			})
		})
	}
	for kill := range 4 { // each after so many deliveries more
		for target := f.deliveries.Load() + 700 + 300*int64(kill); f.deliveries.Load() < target; wait(ctx, time.Millisecond) {
			if n, err := d.left(ctx, "t", "c"); err == nil && n == 0 || ctx.Err() != nil {
				break
			}
		}
		must(d.died())
		d.kill()
		must(d.start(ctx))
	}
	must(d.emptied(ctx, "t", "c"))
	stop()
	consumers.Wait()

	dead := map[string]bool{}
	var mu sync.Mutex
	must(d.operate(ctx, "/channel/create", "dead", "all", false))
	consuming, stop = context.WithCancel(ctx)
	consumers.Go(func() {
		f.consume(consuming, "dead", "all", func(body string) string {
			mu.Lock()
			defer mu.Unlock()
			dead[body] = true
			return "FIN"
		})
	})
	must(d.emptied(ctx, "dead", "all"))
	stop()
	consumers.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range batches * batch {
		body := strconv.Itoa(n)
		if !dead[body] && !(n%10 == 0 && f.finished[body]) {
			t.Errorf("message %d is neither finished nor a dead letter", n)
		}
	}
}

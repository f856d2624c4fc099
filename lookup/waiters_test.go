package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"
)

// waiting is a client that waits for one change after the other.
type waiting struct {
	target string

	mu    sync.Mutex // guards index
	index string     // of the last answer
}

func (w *waiting) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.index
}

// run waits until ctx is done.
func (w *waiting) run(ctx context.Context, c *http.Client, address string) error {
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+w.target+"&wait=5m&index="+w.last(), nil)
		if err != nil {
			return err
		}
		answer, err := c.Do(r)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		var a struct {
			Index string `json:"index"`
		}
		err = json.NewDecoder(answer.Body).Decode(&a)
		answer.Body.Close()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case a.Index == w.last():
			return fmt.Errorf("%s: the answer has the index %q, which is known", w.target, a.Index)
		}
		w.mu.Lock()
		w.index = a.Index
		w.mu.Unlock()
	}
	return nil
}

// TestWaitersUnderChurn has many wait over sockets while nodes come, go and change what
// they take: all know the last word in the end, and nothing is left of them.
func TestWaitersUnderChurn(t *testing.T) {
	d := openDirectory(t)
	address := d.httpServer()
	transport := &http.Transport{}
	c := &http.Client{Transport: transport}
	base := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	const clients, topics = 1500, 100
	list := make([]*waiting, clients)
	for i := range list {
		list[i] = &waiting{target: fmt.Sprintf("/lookup?topic=t%d", i%topics)}
		if i%4 == 0 {
			list[i].target += "&access=w"
		}
		running.Go(func() {
			if err := list[i].run(ctx, c, address); err != nil {
				t.Error(err)
			}
		})
	}
	for round := range 6 {
		n := d.join(fmt.Sprint("n", round))
		for topic := range 3 {
			n.tell(fmt.Sprintf("REGISTER t%d c%d", topic, round))
		}
		n.tell([]string{"PING all", "PING some of it", "PING none drained"}[round%3])
		if round%2 == 0 {
			n.leave()
		}
	}
	deadline := time.Now().Add(2 * testTimeout)
	for i, w := range list {
		_, want := d.indexed(w.target + "&wait=0s")
		for w.last() != want && !t.Failed() {
			if time.Now().After(deadline) {
				t.Fatalf("client %d knows %q of %s, and not %q", i, w.last(), w.target, want)
			}
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	running.Wait()
	transport.CloseIdleConnections()
	for d.db.waiters.count.Load() != 0 || runtime.NumGoroutine() > base+12 { // what the nodes' connections have
		if time.Now().After(deadline) {
			t.Fatalf("%d waiters and %d goroutines are left, of %d", d.db.waiters.count.Load(), runtime.NumGoroutine(), base)
		}
		time.Sleep(time.Millisecond)
	}
	d.db.waiters.mu.Lock()
	defer d.db.waiters.mu.Unlock()
	if n := len(d.db.waiters.asks); n != 0 {
		t.Errorf("%d topics are waited for", n)
	}
}

// What is the index of another life of the directory, or nonsense, is no known answer: who
// shows it is answered at once.
func TestIndexOfAnotherLifeIsNotWaitedFor(t *testing.T) {
	before := openDirectory(t)
	before.join("a").tell("REGISTER t")
	for _, target := range []string{"/lookup?topic=t&wait=5m", "/lookup?topic=t&wait=5m&access=w"} {
		_, index := before.indexed(target)
		d := openDirectory(t)
		d.join("b").tell("REGISTER t")
		for _, index := range []string{index, "x", "0", "-1", "%00", "18446744073709551615"} {
			answered := make(chan string, 1)
			go func() {
				_, body := d.request("GET", target+"&index="+index)
				answered <- body
			}()
			select {
			case <-answered:
			case <-time.After(testTimeout):
				t.Fatalf("%s with the index %q waits", target, index)
			}
		}
	}
}

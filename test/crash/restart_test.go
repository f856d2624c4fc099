package crash

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"qmq/test/wire"
)

// What the restart tests publish.
const (
	restartPlain    = 1000
	restartDeferred = 50
	// firstDue leaves time for everything up to the restart, if the machine is not busy.
	firstDue = 6 * time.Second
	// lateLimit is for a consumer that waits, on a busy machine.
	lateLimit = 50 * time.Second
)

// restartCase is a topic with two channels, of which one has been worked on.
type restartCase struct {
	t   *testing.T
	ctx context.Context
	d   *daemon

	due       map[string]int64        // of deferred publishes, by body, ns wall
	requeued  map[string]int64        // of channel a's REQs, by body
	attempts  map[string]uint16       // channel a: how often it was delivered
	finished  map[string]bool         // channel a
	remaining map[string]channelStats // what /stats must say
}

func TestCleanRestartKeepsDepthDeferralAndAttempts(t *testing.T) {
	t.Parallel()
	r := newRestartCase(t)
	r.prepare()
	if err := r.d.terminate(); err != nil {
		t.Fatal(err)
	}
	r.resume()
}

func TestKilledDaemonKeepsDepthDeferralAndAttempts(t *testing.T) {
	t.Parallel()
	r := newRestartCase(t)
	r.prepare()
	wait(r.ctx, sure)
	r.d.kill()
	r.resume()
}

func newRestartCase(t *testing.T) *restartCase {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	r := &restartCase{
		t: t, ctx: ctx, d: newDaemon(t, goodDaemon(t), "-max-bytes-per-file=8388608"), // and no message times out
		due: map[string]int64{}, requeued: map[string]int64{}, attempts: map[string]uint16{}, finished: map[string]bool{},
	}
	r.must(r.d.start(ctx))
	return r
}

func (r *restartCase) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.d.logTail(30))
	}
}

func (r *restartCase) deadline() time.Time { return time.Now().Add(time.Minute) }

// prepare publishes and works on channel a: some messages are finished, some
// requeued for later, some given back, some twice.
func (r *restartCase) prepare() {
	r.must(r.d.operate(r.ctx, "/topic/create", "t", "", false))
	for _, c := range []string{"a", "b"} {
		r.must(r.d.operate(r.ctx, "/channel/create", "t", c, false))
	}
	r.publish()
	r.work(100, 60, 20)
	r.work(30, 0, 0)
	done, later := int64(len(r.finished)), int64(len(r.requeued))
	r.remaining = map[string]channelStats{
		"a": {Name: "a", Depth: restartPlain - done - later, Deferred: restartDeferred + later},
		"b": {Name: "b", Depth: restartPlain, Deferred: restartDeferred},
	}
	r.awaitStats()
}

func (r *restartCase) dial() *wire.Client {
	run, err := r.d.awaitUp(r.ctx)
	r.must(err)
	w, err := wire.Dial(r.ctx, run.tcp)
	r.must(err)
	r.t.Cleanup(func() { w.Close() })
	return w
}

func (r *restartCase) publish() {
	w := r.dial()
	defer w.Close()
	for first := 0; first < restartPlain; first += 200 {
		w.Out = append(w.Out, "MPUB t\n"...)
		at := len(w.Out)
		w.Sized(0)
		w.Sized(200)
		for i := range 200 {
			body := fmt.Sprintf("plain %d", first+i)
			w.Sized(len(body))
			w.Out = append(w.Out, body...)
		}
		binary.BigEndian.PutUint32(w.Out[at:], uint32(len(w.Out)-at-4))
		r.expectOK(w)
	}
	for i := range restartDeferred {
		body := fmt.Sprintf("deferred %d", i)
		delay := firstDue + time.Duration(i)*20*time.Millisecond
		r.due[body] = time.Now().Add(delay).UnixNano()
		w.Out = fmt.Appendf(w.Out, "DPUB t %d\n", delay.Milliseconds())
		w.Sized(len(body))
		w.Out = append(w.Out, body...)
		r.expectOK(w)
	}
}

func (r *restartCase) expectOK(w *wire.Client) {
	r.t.Helper()
	answer, err := w.Command(r.deadline())
	r.must(err)
	if answer != "OK" {
		r.t.Fatalf("answer %q, want OK", answer)
	}
}

// work takes n messages of channel a, finishes some, requeues some for later,
// and leaves the rest by going away.
func (r *restartCase) work(n, finish, requeue int) {
	w := r.dial()
	defer w.Close()
	r.must(w.Subscribe(identity, "t", "a", r.deadline()))
	w.Ready(n)
	r.must(w.Flush(r.deadline()))
	for i := range n {
		id, attempts, body := r.message(w)
		r.attempts[body]++
		if attempts != r.attempts[body] {
			r.t.Errorf("before the restart: %q has attempts %d, want %d", body, attempts, r.attempts[body])
		}
		if i == 0 { // no more than n in all
			w.Ready(0)
		}
		switch {
		case i < finish:
			r.finished[body] = true
			w.Answer("FIN", &id)
		case i < finish+requeue:
			delay := firstDue + time.Duration(i)*10*time.Millisecond
			r.requeued[body] = time.Now().Add(delay).UnixNano()
			w.Requeue(&id, delay)
		}
	}
	w.Answer("FIN", (*wire.ID)([]byte(probeID)))
	if _, err := w.Command(r.deadline()); err == nil {
		r.t.Error("FIN of an unknown message was not refused")
	}
}

// message reads the next delivery.
func (r *restartCase) message(w *wire.Client) (id wire.ID, attempts uint16, body string) {
	r.t.Helper()
	id, attempts, body, err := r.receive(w)
	r.must(err)
	return id, attempts, body
}

func (r *restartCase) receive(w *wire.Client) (id wire.ID, attempts uint16, body string, err error) {
	kind, data, err := w.Next(r.deadline())
	if err != nil {
		return id, 0, "", err
	}
	head, text, err := wire.ParseHead(data)
	if kind != wire.Delivery || err != nil || len(text) == 0 {
		return id, 0, "", fmt.Errorf("frame of type %d %q, want a message", kind, data)
	}
	return head.ID, head.Attempts, string(text), nil
}

// awaitStats waits until /stats says what it must say.
func (r *restartCase) awaitStats() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	pulse := time.NewTicker(20 * time.Millisecond)
	defer pulse.Stop()
	for {
		wrong := r.wrongStats()
		if wrong == "" {
			return
		}
		select {
		case <-pulse.C:
		case <-ctx.Done():
			r.t.Fatalf("before the restart: %s", wrong)
		}
	}
}

// wrongStats says what differs from what must remain, or nothing.
func (r *restartCase) wrongStats() string {
	topics, err := r.d.stats(r.ctx)
	r.must(err)
	if len(topics) != 1 || topics[0].Name != "t" || topics[0].Depth != 0 || len(topics[0].Channels) != len(r.remaining) {
		return fmt.Sprintf("topics are %+v, want t with channels a and b", topics)
	}
	for _, c := range topics[0].Channels {
		want := r.remaining[c.Name]
		if r.isAnyDue() { // as many are there, but they do not all wait for their time any more
			c.Depth, c.Deferred = c.Depth+c.Deferred, 0
			want.Depth, want.Deferred = want.Depth+want.Deferred, 0
		}
		if c != want {
			return fmt.Sprintf("channel %v, want %v", c, want)
		}
	}
	return ""
}

// isAnyDue says whether a deferred message is due by now.
func (r *restartCase) isAnyDue() bool {
	now := time.Now().UnixNano()
	for _, list := range []map[string]int64{r.due, r.requeued} {
		for _, due := range list {
			if due <= now {
				return true
			}
		}
	}
	return false
}

// resume starts the daemon again and compares everything.
func (r *restartCase) resume() {
	r.must(r.d.start(r.ctx))
	if wrong := r.wrongStats(); wrong != "" {
		r.t.Errorf("after the restart: %s", wrong)
	}
	r.drain("a", r.attempts, r.finished, r.requeued)
	r.drain("b", nil, nil, nil)
	left, err := r.d.awaitQuiet(r.ctx, time.Minute)
	r.must(err)
	if left != nil {
		r.t.Errorf("in the end: %v", left)
	}
	r.must(r.d.terminate())
}

// drain takes all that a channel owes, each message once, with exact attempts,
// and deferred ones when they are due. When it has been busy with the other
// channel meanwhile, late does not count.
func (r *restartCase) drain(channel string, attempts map[string]uint16, finished map[string]bool, requeued map[string]int64) {
	w := r.dial()
	defer w.Close()
	r.must(w.Subscribe(identity, "t", channel, r.deadline()))
	w.Ready(2000)
	r.must(w.Flush(r.deadline()))
	began := time.Now().UnixNano()
	seen := map[string]bool{}
	for len(seen) < restartPlain+restartDeferred-len(finished) {
		id, tries, body, err := r.receive(w)
		if err != nil {
			r.t.Errorf("channel %s: after %d messages: %v", channel, len(seen), err)
			break
		}
		now := time.Now().UnixNano()
		if seen[body] || finished[body] {
			r.t.Errorf("channel %s: %q came again", channel, body)
		}
		seen[body] = true
		if want := attempts[body] + 1; tries != want {
			r.t.Errorf("channel %s: %q has attempts %d, want %d", channel, body, tries, want)
		}
		due := max(r.due[body], requeued[body])
		if now < due {
			r.t.Errorf("channel %s: %q came %v before it was due", channel, body, time.Duration(due-now))
		}
		if late := time.Duration(now - max(due, began)); late > lateLimit {
			r.t.Errorf("channel %s: %q came %v late", channel, body, late)
		}
		w.Answer("FIN", &id)
		r.must(w.Flush(r.deadline()))
	}
	r.complete(channel, seen, finished)
}

// complete checks that what came is all there was.
func (r *restartCase) complete(channel string, seen, finished map[string]bool) {
	var missing []string
	expect := func(body string) {
		if !seen[body] && !finished[body] {
			missing = append(missing, body)
		}
	}
	for i := range restartPlain {
		expect(fmt.Sprintf("plain %d", i))
	}
	for body := range r.due {
		expect(body)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		r.t.Errorf("channel %s: %d missing, among them %q", channel, len(missing), missing[:min(5, len(missing))])
	}
}

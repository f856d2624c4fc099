package semantics

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmq/internal/seqset"
	"qmq/journal"
	"qmq/state"
	"qmq/test/process"
	"qmq/test/wire"
)

// slack is by how much a delivery may be late; it allows for a busy machine, on which a
// node of a set that restarts with megabytes to read takes more than twenty seconds.
const slack = time.Minute

// wantDue checks that something happened a delay after it was asked for.
func wantDue(t *testing.T, asked time.Time, delay time.Duration) {
	t.Helper()
	wantTook(t, time.Since(asked), delay)
}

// wantTook checks how long it took until something happened after a delay.
func wantTook(t *testing.T, took, delay time.Duration) {
	t.Helper()
	if took < delay || took > delay+slack {
		t.Errorf("delivered after %v, not after %v", took, delay)
	}
}

func TestDeferredPublishIsDueAsLongAfterThePublishWhateverComesBetween(t *testing.T) {
	const delay = 400 * time.Millisecond
	between := map[string]func(*node){
		"nothing":        func(n *node) {},
		"clean stop":     func(n *node) { n.restart() },
		"kill":           func(n *node) { n.kill(); n.open() },
		"late channel":   func(n *node) { n.do("/channel/create", "t", "early") },
		"pause":          func(n *node) { n.do("/topic/pause", "t", ""); n.restart(); n.do("/topic/unpause", "t", "") },
		"segments ended": func(n *node) { n.connect().Publish("t", bulk(6<<20)...); n.restart() },
	}
	for name, f := range between {
		for _, publish := range []struct {
			by string
			f  func(*node)
		}{
			{"DPUB", func(n *node) {
				p := n.connect(wire.DPub("t", int(delay.Milliseconds()), "late"))
				p.Expect("OK")
			}},
			{"HTTP", func(n *node) { n.must("POST", fmt.Sprintf("/pub?topic=t&defer=%d", delay.Milliseconds()), "late") }},
		} {
			t.Run(name+" "+publish.by, func(t *testing.T) {
				t.Parallel()
				n := start(t)
				n.do("/topic/create", "t", "")
				if name != "late channel" {
					n.do("/channel/create", "t", "ch")
				}
				asked := time.Now()
				publish.f(n)
				n.connect().Publish("t", "now")
				f(n)
				k := n.consume("t", "ch", 2500)
				if name == "late channel" {
					k.Close()
					k = n.consume("t", "early", 2500)
				}
				for {
					if m := k.Message(); m.Body == "late" {
						if m.Attempts != 1 {
							t.Errorf("attempt %d", m.Attempts)
						}
						break
					}
				}
				wantDue(t, asked, delay)
			})
		}
	}
}

// bulk is bodies of that many bytes in all.
func bulk(total int) []string {
	body := make([]byte, 100<<10)
	for i := range body {
		body[i] = 'b'
	}
	return slices.Repeat([]string{string(body)}, total/len(body))
}

func TestDelaysAreBounded(t *testing.T) {
	t.Parallel()
	const limit = 300
	n := start(t, func(o *options) {
		o.broker.MaxReqTimeout = limit * time.Millisecond
		o.server.MaxReqTimeout = limit * time.Millisecond
	})
	refused := n.connect(wire.DPub("t", limit+1, "x"))
	refused.ExpectError("E_INVALID DPUB timeout 301 out of range 0-300")
	refused.ExpectEnd()
	if r := n.call("POST", "/pub?topic=t&defer=301", "x"); r.status != 400 || !strings.Contains(r.body, `"message":"INVALID_DEFER"`) {
		t.Errorf("%+v", r)
	}
	n.connect(wire.DPub("t", limit, "x")).Expect("OK")
	k := n.consume("t", "ch", 1)
	m := k.Messages("x")[0]
	asked := time.Now()
	k.Req(m, 1_000_000_000) // clamped, not refused
	if m = k.Messages("x")[0]; m.Attempts != 2 {
		t.Errorf("attempt %d", m.Attempts)
	}
	wantDue(t, asked, limit*time.Millisecond)
}

func TestRequeuedMessageKeepsItsAttemptsAndDueTimeOverARestart(t *testing.T) {
	const delay = 1500 * time.Millisecond
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			n := start(t)
			n.connect().Publish("t", "x")
			k := n.consume("t", "ch", 1)
			first := k.Messages("x")[0]
			k.Req(first, 0)
			k.Req(k.Messages("x")[0], 0)
			third := k.Messages("x")[0]
			asked := time.Now()
			k.Req(third, int(delay.Milliseconds()))
			deferred := func() {
				process.Eventually(t, "it is deferred", func() bool {
					return n.channel("t", "ch").counts() == counts{deferred: 1} || time.Since(asked) > delay // a machine that is slow
				})
			}
			deferred()
			n.awaitIdle()
			e.end(n)
			n.open()
			deferred()
			m := n.consume("t", "ch", 1).Messages("x")[0]
			if m.Attempts != 4 || m.ID != first.ID || m.Timestamp != first.Timestamp {
				t.Errorf("first %+v, then %+v", first, m)
			}
			wantDue(t, asked, delay)
		})
	}
}

func TestManyDeferredMessagesComeInTheOrderOfTheirTime(t *testing.T) {
	t.Parallel()
	const messages = 40
	n := start(t)
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	p := n.connect()
	var sent string
	for i := range messages {
		ms := 500 + (i*17%messages)*10
		sent += wire.DPub("t", ms, strconv.Itoa(ms))
	}
	p.Send(sent)
	for range messages {
		p.Expect("OK")
	}
	k := n.consume("t", "ch", 1) // those that are sent together are sorted anew
	last := int64(0)
	for range messages {
		m := k.Message()
		k.Fin(m)
		delay, _ := strconv.ParseInt(m.Body, 10, 64)
		due := (m.Timestamp+999_999)/1e6 + delay // each publish has its own time
		if due < last {
			t.Errorf("a message due at %d came after one due at %d", due, last)
		}
		last = due
	}
}

// TestAttemptsSaturate at what the wire has room for. A journal that says so
// stands for the tens of thousands of deliveries before.
func TestAttemptsSaturate(t *testing.T) {
	n := start(t)
	n.connect().Publish("t", "x")
	k := n.consume("t", "ch", 1)
	m := k.Messages("x")[0]
	k.Req(m, 0)
	k.Messages("x")
	n.stop()
	setAttempts(t, n, m, 65533)
	n.open()
	k = n.consume("t", "ch", 1)
	for _, want := range []uint16{65534, 65535, 65535, 65535} {
		m := k.Messages("x")[0]
		if m.Attempts != want {
			t.Errorf("attempt %d, want %d", m.Attempts, want)
		}
		k.Req(m, 0)
	}
	k.Messages("x")
	n.restart()
	k = n.consume("t", "ch", 1)
	if m := k.Messages("x")[0]; m.Attempts != 65535 {
		t.Errorf("attempt %d after a restart", m.Attempts)
	}
}

// retold is a channel that says what the test wants the journal to hear.
type retold struct{ state.ChannelChanges }

func (r *retold) Changes(bool) state.ChannelChanges { return r.ChannelChanges }
func (r *retold) Snapshot() state.ChannelChanges    { return r.ChannelChanges }

// setAttempts makes the journal of a stopped node say how often the only
// message of its only channel was tried.
func setAttempts(t *testing.T, n *node, m wire.Message, attempts uint16) {
	t.Helper()
	j, found, err := journal.Open(journal.Options{
		FS: n.mount(), Dir: n.o.broker.DataPath + "/journal", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := strconv.ParseUint(m.ID, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	seq &= 1<<54 - 1 // without the node's id
	for _, ts := range found.State.Topics {
		for _, cs := range ts.Channels {
			source := &retold{state.ChannelChanges{
				Topic: ts.Incarnation, Channel: cs.Incarnation, Version: cs.Version + 1, Full: true,
				Floor: seq, Cursor: seq + 1, Acked: []seqset.Range{},
				Open: []state.OpenMessage{{Seq: seq, Attempts: attempts}},
			}}
			j.Attach(source)
			j.Mark(source)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAttemptsLastOverARestart(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			n.connect().Publish("t", "inflight", "twice", "fresh")
			k := n.consume("t", "ch", 2)
			ms := k.Messages("inflight", "twice")
			k.Req(ms[1], 0)
			again := k.Message() // fresh or twice
			k.Send("RDY 0\n")
			k.ExpectOpen()
			n.awaitIdle()
			e.end(n)
			n.open()
			want := map[string]uint16{"inflight": 2, "twice": 2, "fresh": 1}
			want[again.Body]++
			k = n.consume("t", "ch", 10)
			for range 3 {
				if m := k.Message(); m.Attempts != want[m.Body] {
					t.Errorf("%s comes as attempt %d, want %d", m.Body, m.Attempts, want[m.Body])
				}
			}
		})
	}
}

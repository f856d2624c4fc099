package semantics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/test/process"
	"qmq/test/wire"
)

// tear cuts the power just before what was written is synced, and leaves some
// of it.
func (n *node) tear() {
	cut, once := make(chan struct{}), sync.Once{}
	n.disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && strings.HasSuffix(name, ".seg") {
			once.Do(func() {
				n.disk.Crash(crashfs.Random)
				close(cut)
			})
		}
		return nil
	})
	<-cut
	n.disk.Fail(nil)
	n.end()
}

// killWithinWrite kills the process when a part of a write is done.
func (n *node) killWithinWrite() {
	killed, once := make(chan struct{}), sync.Once{}
	short := errors.New("only a part is written")
	n.disk.Fail(func(op crashfs.Op, name string) error {
		switch {
		case op == crashfs.OpWrite && strings.HasSuffix(name, ".seg"):
			return short
		case op == crashfs.OpTruncate: // to take it back
			once.Do(func() {
				n.disk.Kill()
				close(killed)
			})
			return short
		}
		return nil
	})
	<-killed
	n.disk.Fail(nil)
	n.end()
}

func strict(o *options) { o.broker.SyncEvery = 1 }

// publisher pipelines PUBs and MPUBs and keeps what was OK'd.
type publisher struct {
	name string
	ok   []string   // bodies OK'd by themselves
	sets [][]string // bodies of all MPUBs, OK'd or not
	okd  []int      // of sets
}

// run publishes until the connection ends or an answer is no OK, and counts
// the OKs in progress.
func (p *publisher) run(c *wire.Conn, topic string, progress chan<- struct{}) {
	for i := 0; ; i++ {
		single := fmt.Sprintf("%s single %d", p.name, i)
		set := numbered(fmt.Sprintf("%s set %d %s ", p.name, i, strings.Repeat(".", 300)), 3+i%5)
		p.sets = append(p.sets, set)
		if _, err := c.Write([]byte(wire.Pub(topic, single) + wire.MPub(topic, set...))); err != nil {
			return
		}
		for j := range 2 {
			if _, data, err := c.TryFrame(); err != nil || data != "OK" {
				return
			}
			if j == 0 {
				p.ok = append(p.ok, single)
			} else {
				p.okd = append(p.okd, i)
			}
			select {
			case progress <- struct{}{}:
			default: // nobody counts any more
			}
		}
	}
}

// TestWhatIsOKdSurvives a kill and, with sync-every 1, a power cut; an MPUB is
// there as a whole or not at all.
func TestWhatIsOKdSurvives(t *testing.T) {
	for seed, test := range []struct {
		name  string
		setUp func(*options)
		end   func(*node)
	}{
		{"kill", func(*options) {}, (*node).kill},
		{"power cut", strict, (*node).cutPower},
		{"power cut that tears 1", strict, (*node).tear},
		{"power cut that tears 2", strict, (*node).tear},
		{"kill within a write 1", func(*options) {}, (*node).killWithinWrite},
		{"kill within a write 2", func(*options) {}, (*node).killWithinWrite},
		{"kill within a write 3", func(*options) {}, (*node).killWithinWrite},
	} {
		t.Run(test.name, func(t *testing.T) {
			const publishers, oks = 4, 400
			n := startSeeded(t, seed, test.setUp)
			n.do("/topic/create", "t", "")
			n.do("/channel/create", "t", "ch")
			progress := make(chan struct{}, oks)
			var running sync.WaitGroup
			var all []*publisher
			for i := range publishers {
				p, c := &publisher{name: fmt.Sprint("p", i)}, n.connect()
				all = append(all, p)
				running.Go(func() { p.run(c, "t", progress) })
			}
			for range oks {
				process.Next(t, progress)
			}
			test.end(n)
			running.Wait()
			n.open()
			held := n.drain("t", "ch")
			for _, p := range all {
				p.check(t, held)
			}
		})
	}
}

func (p *publisher) check(t *testing.T, held map[string]int) {
	t.Helper()
	for _, body := range p.ok {
		if held[body] != 1 {
			t.Errorf("%s was OK'd and is there %d times", body, held[body])
		}
	}
	for i, set := range p.sets {
		there := 0
		for _, body := range set {
			there += held[body]
		}
		if there != 0 && there != len(set) || there == 0 && slices.Contains(p.okd, i) {
			t.Errorf("%d of %d messages of MPUB %s %d are there", there, len(set), p.name, i)
		}
	}
}

// drain takes everything that a channel holds and can give out now, and counts
// how often each body came.
func (n *node) drain(topic, channel string) map[string]int {
	n.t.Helper()
	held := map[string]int{}
	k := n.consume(topic, channel, 2500)
	defer k.Close()
	for range n.topicCounts(topic, channel) {
		m := k.Message()
		held[m.Body]++
		k.Fin(m)
	}
	k.ExpectOpen()
	return held
}

// topicCounts is how many messages a consumer of the channel has ahead.
func (n *node) topicCounts(topic, channel string) int {
	n.t.Helper()
	s := n.channel(topic, channel)
	return s.Depth + s.InFlightCount
}

// TestMpubIsAllOrNothing for every kind of mistake in it.
func TestMpubIsAllOrNothing(t *testing.T) {
	n := start(t, func(o *options) { o.server.MaxMsgSize, o.server.MaxBodySize = 10, 200 })
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	long := strings.Repeat("x", 11)
	for _, bodies := range [][]string{{"a", "b", ""}, {"a", long, "b"}} {
		c := n.connect(wire.MPub("t", bodies...))
		if kind, data := c.Frame(); kind != wire.Error || !strings.HasPrefix(data, "E_BAD_MESSAGE MPUB ") {
			t.Errorf("frame %d %q", kind, data)
		}
		c.ExpectEnd()
		binary := wire.Size(len(bodies))
		for _, body := range bodies {
			binary += wire.Sized(body)
		}
		if r := n.call("POST", "/mpub?topic=t&binary=true", binary); r.status != 413 || r.body != `{"message":"BAD_MESSAGE"}` {
			t.Errorf("%+v", r)
		}
	}
	if r := n.call("POST", "/mpub?topic=t", "a\n"+long+"\nb"); r.status != 413 || r.body != `{"message":"MSG_TOO_BIG"}` {
		t.Errorf("%+v", r)
	}
	if got := n.channel("t", "ch"); got.MessageCount != 0 || got.Depth != 0 {
		t.Errorf("%+v", got)
	}
	// A wrong length of the whole is no error.
	b := wire.Size(2) + wire.Sized("a") + wire.Sized("b")
	n.connect("MPUB t\n"+wire.Size(len(b))+b, "PUB t\n", wire.Sized("c")).Expect("OK", "OK")
	n.consume("t", "ch", 5).Messages("a", "b", "c")
}

// TestRefusedPublishesAreAnsweredEachOnItsOwn while the disk takes nothing:
// the connection stays, what needs no disk goes on, and when the disk works
// again so does everything.
func TestRefusedPublishesAreAnsweredEachOnItsOwn(t *testing.T) {
	for name, op := range map[string]crashfs.Op{"write": crashfs.OpWrite, "sync": crashfs.OpSync} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t, strict)
			k := n.consume("t", "ch", 1)
			p := n.connect()
			p.Publish("t", "before 1", "before 2")
			first := k.Messages("before 1")[0]
			n.disk.Fail(func(o crashfs.Op, name string) error {
				if o == op && !strings.Contains(name, "/journal/") {
					return errors.New("the disk is broken")
				}
				return nil
			})
			p.Send(wire.Pub("t", "a") + wire.Pub("mem#ephemeral", "b") + wire.MPub("t", "c", "d") + wire.DPub("t", 1, "e") + wire.Pub("mem#ephemeral", "f"))
			for _, want := range []string{"E_PUB_FAILED PUB failed ", "", "E_MPUB_FAILED MPUB failed ", "E_DPUB_FAILED DPUB failed ", ""} {
				if want == "" {
					p.Expect("OK")
					continue
				}
				if kind, data := p.Frame(); kind != wire.Error || !strings.HasPrefix(data, want) || !strings.Contains(data, "the disk is broken") {
					t.Errorf("frame %d %q, want %s and the reason", kind, data, want)
				}
			}
			for _, target := range []string{"/pub?topic=t", "/mpub?topic=t", "/pub?topic=t&defer=5"} {
				if r := n.call("POST", target, "g"); r.status != 503 || !strings.Contains(r.body, "the disk is broken") {
					t.Errorf("%s: %+v", target, r)
				}
			}
			if r := n.call("GET", "/ping", ""); r.status != 500 || !strings.HasPrefix(r.body, "NOK - ") {
				t.Errorf("/ping: %+v", r)
			}
			k.Fin(first) // deliveries go on
			second := k.Messages("before 2")[0]

			n.disk.Fail(nil)
			process.Eventually(t, "the end of the trouble", func() bool { return n.call("GET", "/ping", "").body == "OK" })
			p.Publish("t", "after")
			k.Fin(second)
			k.Messages("after")
			k.ExpectOpen()
			n.stop()
			n.open()
			n.wantCounts("t", "ch", counts{depth: 1})
		})
	}
}

func TestFullDiskRefusesWithTheReasonAndTakesMoreWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	n := start(t)
	p := n.connect()
	p.Publish("t", "before")
	n.disk.Limit(n.disk.Used() + 10)
	p.Send(wire.Pub("t", strings.Repeat("x", 1000)))
	if kind, data := p.Frame(); kind != wire.Error || !strings.HasPrefix(data, "E_PUB_FAILED PUB failed ") || !strings.Contains(data, "no space left on device") {
		t.Errorf("frame %d %q", kind, data)
	}
	n.disk.Limit(-1)
	process.Eventually(t, "the end of the trouble", func() bool { return n.call("GET", "/ping", "").body == "OK" })
	p.Publish("t", "after")
	n.kill()
	n.open()
	n.consume("t", "ch", 5).Messages("before", "after")
}

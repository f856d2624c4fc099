package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gdamore/tcell/v2"

	"qmq/internal/nodeclient"
)

// figuresAt is what two nodes say so many steps of two seconds after noon.
func figuresAt(step int64) *snapshot {
	channel := func(name string, messages, depth, clients int64) nodeclient.Channel {
		c := nodeclient.Channel{Name: name, Messages: messages, Depth: depth, BackendDepth: depth / 2, InFlight: 3, ClientCount: clients}
		for i := range clients {
			c.Clients = append(c.Clients, nodeclient.Consumer{
				RemoteAddress: fmt.Sprintf("10.0.0.%d:5000", i+1), UserAgent: "go-nsq/1.1\x1b[2J", ReadyCount: 10 * (i + 1), InFlight: i,
				Messages: messages, Finished: messages, ConnectTime: time.Now().Add(-time.Hour).Unix(),
			})
		}
		return c
	}
	stats := func(n int64) *nodeclient.Stats {
		return &nodeclient.Stats{Health: "OK", Topics: []nodeclient.Topic{
			{Name: "orders", Messages: 1000 + 400*step*n, Channels: []nodeclient.Channel{
				channel("billing", 1000+400*step*n, 1200*n, 2), channel("stock", 1000+400*step*n, 0, 1),
			}},
			{Name: "audit", Messages: 10 + step, Depth: 5 * n, Paused: true},
			{Name: "clicks", Messages: 9000 + 2*step, Channels: []nodeclient.Channel{channel("archive", 9000+2*step, 77, 0)}},
		}}
	}
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	return &snapshot{at: noon.Add(time.Duration(step) * 2 * time.Second), nodes: []nodeSnapshot{
		{node: node{Name: "qd1:4151"}, stats: stats(1)}, {node: node{Name: "qd2:4151"}, stats: stats(2)},
	}}
}

// screenOf is what a view shows, line by line.
func screenOf(v *topView) string {
	var b strings.Builder
	for _, l := range v.lines() {
		mark := map[look]string{plain: "  ", heading: "= ", dimmed: "- ", marked: "> ", alarming: "! "}[l.look]
		b.WriteString(strings.TrimRight(mark+l.text, " ") + "\n")
	}
	return b.String()
}

// TestTopScreens: what is shown after keys, as in testdata/top.txt. With -update it
// is written.
func TestTopScreens(t *testing.T) {
	at, err := (&topCommand{By: "channel", Sort: "depth", Interval: time.Second}).place()
	if err != nil {
		t.Fatal(err)
	}
	v := newTopView(at)
	v.resize(120, 12)
	var b strings.Builder
	show := func(what string) { fmt.Fprintf(&b, "--- %s\n%s", what, screenOf(v)) }
	press := func(what string, keys ...string) {
		for _, key := range keys {
			v.key(key)
		}
		show(what)
	}
	show("before the first answer")
	v.take(figuresAt(0), nil)
	show("one answer")
	for step := range int64(4) {
		v.take(figuresAt(step+1), nil)
	}
	show("five answers")
	press("> sorts by the next column", ">")
	press("r turns the order round", "r")
	press("r again, and Down twice", "r", "Down", "Down", "Down")
	press("/ filters", "/", "S", "t", "o")
	press("Enter ends that, Esc undoes it", "Enter", "Esc")
	press("t: topics", "t")
	press("Down twice and Enter: the channels of a topic", "Down", "Down", "Enter")
	press("Enter: the clients of a channel", "Enter")
	v.take(figuresAt(5), nil)
	show("once they are asked for")
	press("Esc: back to the channels", "Esc")
	press("Esc: back to the topics", "Esc")
	press("n: nodes", "n")
	press("?: the keys", "?")
	press("any key: back", "x")
	v.take(nil, errors.New("no directory answers: \x1b]0;x\x07connection refused"))
	show("an answer that does not come")
	v.resize(50, 8)
	show("a small terminal")
	press("End", "End")
	v.resize(10, 2)
	show("hardly any terminal")

	golden := filepath.Join("testdata", "top.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != b.String() {
		t.Errorf("the screens are others than in %s (-update writes it): %v\n%s", golden, err, b.String())
	}
}

func TestTopStandsStillUntilToldToGoOn(t *testing.T) {
	v := newTopView(place{by: "topic"})
	v.take(figuresAt(0), nil)
	v.key(" ")
	v.take(figuresAt(1), nil)
	if screen := screenOf(v); !strings.Contains(screen, "q top (stands still)  2 nodes") {
		t.Error(screen)
	}
	if v.key(" ") != askNow {
		t.Error("it does not ask")
	}
	v.take(figuresAt(2), nil)
	if screen := screenOf(v); !strings.Contains(screen, "12:00:04") {
		t.Error(screen)
	}
}

func TestTopForgetsTrendsOfWhatIsGone(t *testing.T) {
	v := newTopView(place{by: "topic"})
	for step := range int64(100) {
		v.take(figuresAt(step), nil)
	}
	if n := len(v.history["topic"][(&figure{Topic: "orders"}).key()]); n != trendLength {
		t.Errorf("a trend of %d", n)
	}
	v.take(&snapshot{}, nil)
	if len(v.history["topic"])+len(v.history["channel"]) > 0 {
		t.Errorf("%v", v.history)
	}
}

// TestTopAsksAgainAndAgain, at once where something else is looked at, and gives the
// terminal back at the end.
func TestTopAsksAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		screen := &watchedScreen{SimulationScreen: tcell.NewSimulationScreen("UTF-8")}
		if err := screen.Init(); err != nil {
			t.Fatal(err)
		}
		screen.SetSize(100, 10)
		var mu sync.Mutex // guards wanted
		var wanted []nodeclient.Wanted
		asked := func() []nodeclient.Wanted {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(wanted)
		}
		p := &topScreen{view: newTopView(place{by: "channel", sort: "DEPTH"}), screen: screen, interval: 2 * time.Second,
			ask: func(ctx context.Context, w nodeclient.Wanted) (*snapshot, error) {
				mu.Lock()
				defer mu.Unlock()
				wanted = append(wanted, w)
				return figuresAt(int64(len(wanted))), ctx.Err()
			}}
		done := make(chan error, 1)
		go func() { done <- p.run(t.Context()) }()
		synctest.Wait()
		if text := screen.text(); len(asked()) != 1 || !strings.Contains(text, "orders  billing") {
			t.Errorf("asked %d times\n%s", len(asked()), text)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if text := screen.text(); len(asked()) != 3 || !strings.Contains(text, "600") {
			t.Errorf("asked %d times\n%s", len(asked()), text)
		}
		screen.InjectKey(tcell.KeyEnter, 0, tcell.ModNone)
		synctest.Wait()
		if text, wanted := screen.text(), asked(); len(wanted) != 4 || wanted[3] != (nodeclient.Wanted{Topic: "orders", Channel: "billing", Clients: true}) || !strings.Contains(text, "10.0.0.2:5000") {
			t.Errorf("asked for %+v\n%s", wanted, text)
		}
		screen.SetSize(60, 5)
		synctest.Wait()
		if lines := strings.Split(screen.text(), "\n"); len(lines) != 6 || len([]rune(lines[0])) != 60 {
			t.Errorf("%q", lines)
		}
		screen.InjectKey(tcell.KeyRune, 'q', tcell.ModNone)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// watchedScreen is a screen that a test may look at while it is drawn.
type watchedScreen struct {
	tcell.SimulationScreen
	mu sync.Mutex // held while something is shown
}

func (s *watchedScreen) Show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.SimulationScreen.Show()
}

func (s *watchedScreen) Sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.SimulationScreen.Sync()
}

// text is what is shown.
func (s *watchedScreen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells, width, _ := s.GetContents()
	var b strings.Builder
	for i, cell := range cells {
		b.WriteString(string(cell.Runes))
		if (i+1)%width == 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// TestTopWithoutATerminalPrintsOneTable, with rates.
func TestTopWithoutATerminalPrintsOneTable(t *testing.T) {
	s := withChannel(t)
	must(t, numbered(7), "pub", "t", "--addr="+s.tcp)
	at := "--http-addr=" + s.http
	out := must(t, "", "top", "-i", "1ms", at)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "TOPIC") || !strings.HasSuffix(strings.TrimSpace(lines[0]), "OUT/S") || !strings.Contains(lined(out), "t c running 0 7") {
		t.Errorf("%s", out)
	}
	if out := must(t, "", "top", "--json", "-i", "1ms", at); !strings.Contains(out, `"depth":7`) || !strings.Contains(out, `"in_per_second":0`) {
		t.Errorf("%s", out)
	}
	wantRefusal(t, exitFailed, `"colour" is no column of this table: topic, channel, state`, "top", "--sort=colour", at)
	wantRefusal(t, exitFailed, "connection refused", "top", "-i", "1ms", "--http-addr=127.0.0.1:1")
}

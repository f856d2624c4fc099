package cluster

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmq/admin/words"
	"qmq/internal/nodeclient"
	"qmq/lookup"
)

// scene plays a script of what nodes say, second by second, and writes down
// which lines start and end. Its words are in testdata/attention.txt.
type scene struct {
	t        *testing.T
	c        *Cluster
	now      time.Time
	start    time.Time
	nodes    map[string]*actor
	channels map[Pair]*part
	out      strings.Builder
	shown    map[string]string

	impossible string // what the directory lists that cannot be a node
}

// actor is a node of a scene.
type actor struct {
	silent  bool
	drained bool
	health  string
	version string
	damage  int64
	found   []nodeclient.Finding
	listed  bool   // at the directory
	twin    string // another one with its address, by its host name
	at      string // where that connects from
	shares  bool   // the directory says that both live
}

// part is a channel of a scene, on the first node.
type part struct {
	depth, grow, in, late, published float64
	consumers                        int64
	paused, topicPaused              bool
	noChannel                        bool                   // the topic has none: depth is its own
	series                           func(second int) int64 // of depth; nil: it grows
	hidden                           bool                   // the directory does not list the topic
	timeouts                         float64
}

func newScene(t *testing.T) *scene {
	start := time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	s := &scene{t: t, c: New(64<<20, nil), now: start, start: start, nodes: make(map[string]*actor), channels: make(map[Pair]*part), shown: make(map[string]string)}
	s.c.pausedBy = func(Pair) string { return "maria" }
	s.c.SetLookupds([]string{"lookupd:4161"})
	return s
}

func (s *scene) step() {
	s.now = s.now.Add(time.Second)
	var listed []lookup.ClusterNode
	for i, name := range words.Sorted(s.nodes) {
		if a := s.nodes[name]; a.listed {
			known := lookup.ClusterNode{Identity: lookup.Identity{Hostname: name, BroadcastAddress: name, HTTPPort: 4151, Version: a.version}}
			known.Seen = []lookup.Sighting{{Directory: "lookupd:4161", RemoteAddress: "10.0.0.1:5", Hostname: name}}
			if a.twin != "" {
				known.Seen = append(known.Seen, lookup.Sighting{Directory: "lookupd:4161", RemoteAddress: cmp.Or(a.at, "10.0.0.2:5"), Hostname: a.twin, SharesAddress: a.shares})
			}
			for p, c := range s.channels {
				if i == 0 && !c.hidden {
					known.Topics = append(known.Topics, lookup.NodeTopic{Topic: p.Topic})
				}
			}
			listed = append(listed, known)
		}
	}
	if s.impossible != "" {
		listed = append(listed, lookup.ClusterNode{Impossible: "invalid broadcast address " + s.impossible})
	}
	s.c.heard(s.c.lookupds[0], nil, listed, s.now)
	first := true
	for _, name := range words.Sorted(s.nodes) {
		a := s.nodes[name]
		n := s.c.nodes[name+":4151"]
		if n == nil {
			continue
		}
		if a.silent {
			n.miss(s.now, "connection refused")
			continue
		}
		stats := &nodeclient.Stats{Version: a.version, Health: a.health, StartTime: 1, HeapInUse: -1, Draining: a.drained}
		if a.damage > 0 || len(a.found) > 0 {
			stats.Damage = &nodeclient.Damage{Messages: a.damage, Findings: a.found}
		}
		if first {
			s.play(stats)
		}
		first = false
		n.answered()
		n.take(&s.c.budget, stats, s.now, s.c.wasEmptied)
	}
	s.c.Update(s.now, time.Second)
	s.write()
}

// play moves the channels by a second.
func (s *scene) play(stats *nodeclient.Stats) {
	for p, c := range s.channels {
		c.depth = max(0, c.depth+c.grow)
		c.published += c.in
		c.timeouts += c.late
		if c.series != nil {
			c.depth = float64(c.series(int(s.now.Sub(s.start) / time.Second)))
		}
		t := nodeclient.Topic{Name: p.Topic, Messages: int64(c.published), Paused: c.topicPaused, Channels: []nodeclient.Channel{{
			Name: p.Channel, Depth: int64(c.depth), Messages: int64(c.published), TimedOut: int64(c.timeouts), ClientCount: c.consumers, Paused: c.paused,
		}}}
		if c.noChannel {
			t.Channels, t.Depth = nil, int64(c.depth)
		}
		stats.Topics = append(stats.Topics, t)
	}
}

// write notes what has changed among the lines.
func (s *scene) write() {
	open := make(map[string]string)
	for _, l := range s.c.alerts.open {
		open[l.ID] = l.Text
		if _, ok := s.shown[l.ID]; !ok {
			fmt.Fprintf(&s.out, "  %s + %s %s (since %s): %s\n", s.clock(s.now), l.Level, l.ID, s.clock(l.since), s.localised(l.Text))
		}
	}
	for id := range s.shown {
		if _, ok := open[id]; !ok {
			fmt.Fprintf(&s.out, "  %s - %s\n", s.clock(s.now), id)
		}
	}
	s.shown = open
}

func (s *scene) clock(t time.Time) string { return t.Sub(s.start).String() }

// localised does what the page does with times in sentences.
func (s *scene) localised(text string) string {
	before, rest, ok := strings.Cut(text, "{t:")
	if !ok {
		return text
	}
	digits, after, _ := strings.Cut(rest, "}")
	ms, _ := strconv.ParseInt(digits, 10, 64)
	return before + s.clock(time.UnixMilli(ms)) + after
}

// do carries out a line of the script.
func (s *scene) do(line string) {
	words := strings.Fields(line)
	settings := make(map[string]string)
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			settings[key] = strings.ReplaceAll(value, "_", " ")
		}
	}
	number := func(key string, into *float64) {
		if text, ok := settings[key]; ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			*into = v
		}
	}
	switch words[0] {
	case "node":
		a := s.nodes[words[1]]
		if a == nil {
			a = &actor{health: "OK", version: "2.0.0", listed: true}
			s.nodes[words[1]] = a
		}
		for key, value := range settings {
			switch key {
			case "silent":
				a.silent = value == "yes"
			case "draining":
				a.drained = value == "yes"
			case "listed":
				a.listed = value == "yes"
			case "twin":
				a.twin = value
			case "at":
				a.at = value
			case "shares":
				a.shares = value == "yes"
			case "health":
				a.health = value
			case "version":
				a.version = value
			case "damage":
				a.damage, _ = strconv.ParseInt(value, 10, 64)
			case "found": // kind:topic, or nothing any more
				kind, topic, _ := strings.Cut(strings.ReplaceAll(value, " ", "_"), ":")
				if a.found = append(a.found, nodeclient.Finding{Kind: kind, Topic: topic}); kind == "" {
					a.found = nil
				}
			}
		}
	case "channel":
		topic, channel, _ := strings.Cut(words[1], "/")
		c := s.channels[Pair{topic, channel}]
		if c == nil {
			c = new(part)
			s.channels[Pair{topic, channel}] = c
		}
		number("depth", &c.depth)
		number("grow", &c.grow)
		number("in", &c.in)
		number("late", &c.late)
		if text, ok := settings["consumers"]; ok {
			c.consumers, _ = strconv.ParseInt(text, 10, 64)
		}
		if text, ok := settings["paused"]; ok {
			c.paused = text == "yes"
		}
		if text, ok := settings["bare"]; ok {
			c.noChannel = text == "yes"
		}
		if text, ok := settings["hidden"]; ok {
			c.hidden = text == "yes"
		}
	case "directory":
		s.impossible = settings["lists"]
	case "run":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		for range int(d.Seconds()) {
			s.step()
		}
	case "show":
		for i, l := range s.c.alerts.open {
			fmt.Fprintf(&s.out, "  %d. %s %s: %s\n", i+1, l.Level, l.Subject(), s.localised(l.Text))
		}
		title, sub := s.c.verdict()
		fmt.Fprintf(&s.out, "  %s. %s\n", title, s.localisedAll(sub))
	default:
		s.t.Fatalf("unknown step %s", line)
	}
}

func (s *scene) localisedAll(text string) string {
	for strings.Contains(text, "{t:") {
		text = s.localised(text)
	}
	return text
}

// TestAttentionScript plays the steps of the golden file again and compares
// what they lead to. Indented lines are results.
func TestAttentionScript(t *testing.T) {
	const file = "testdata/attention.txt"
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got strings.Builder
	s := newScene(t)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "  "):
			continue
		case strings.HasPrefix(line, "#"):
			s = newScene(t)
			fmt.Fprintln(&got, line)
		case line == "":
			fmt.Fprintln(&got)
		default:
			fmt.Fprintln(&got, line)
			s.out.Reset()
			s.do(line)
			got.WriteString(s.out.String())
		}
	}
	golden(t, "attention.txt", got.String())
}

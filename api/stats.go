package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"qmq/internal/httpapi"
	"qmq/internal/version"
	"qmq/internal/vfs"
)

// The answer to /stats, around the figures.
type (
	statsAnswer struct {
		Version   string       `json:"version"`
		Health    string       `json:"health"`
		StartTime int64        `json:"start_time"`
		Topics    places       `json:"topics"` // of TopicFigures, null when an unknown one is asked for
		Memory    *memoryStats `json:"memory,omitempty"`
		Producers places       `json:"producers"` // of ClientFigures, null when there is none
		// What follows is Q's own: nsqd has no such keys. The room is that of the file
		// system that the messages are on, in bytes; left out where it is not known.
		DiskFree *int64 `json:"disk_free_bytes,omitempty"`
		DiskUsed *int64 `json:"disk_used_bytes,omitempty"`
		// Of the process, with its memory: how many descriptors it has open, and how many it
		// may have; left out where that is not known.
		OpenFiles    int          `json:"open_files,omitempty"`
		MaxOpenFiles int          `json:"max_open_files,omitempty"`
		Draining     bool         `json:"draining,omitempty"`
		Damage       *damageStats `json:"damage,omitempty"`
	}

	// places are where an array goes that is made while it is sent: in the JSON
	// of the answer around it, it is null.
	places *struct{}
)

// stats is GET /stats: figures of everything, as JSON or as text.
func (h *HTTP) stats(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	f := Filter{Topic: q.Get("topic"), Channel: q.Get("channel"), Clients: flag(q, "include_clients"), Settings: q.Has("include_config") && flag(q, "include_config")}
	a := statsAnswer{
		Version:   version.Number,
		Health:    healthText(h.broker.Health()),
		StartTime: h.broker.StartTime().Unix(),
	}
	a.Draining = h.broker.Draining()
	if s, known := h.broker.Space(); known {
		a.DiskFree, a.DiskUsed = &s.Free, &s.Used
	}
	damage := h.broker.Damage()
	a.Damage = statsOfDamage(&damage)
	if flag(q, "include_mem") {
		a.Memory = readMemory()
		if a.OpenFiles = vfs.OpenDescriptors(); a.OpenFiles > 0 {
			a.MaxOpenFiles = vfs.DescriptorLimit()
		}
	}
	json := q.Get("format") == "json"
	return &httpapi.Stream{JSON: json, Write: func(w *bufio.Writer) error {
		if json {
			return h.writeStats(w, &a, f)
		}
		h.writeStatsText(w, &a, f)
		return nil
	}}, nil
}

// writeStats writes the figures as JSON: what a says, with topics and producers
// at their places.
func (h *HTTP) writeStats(w *bufio.Writer, a *statsAnswer, f Filter) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	// A quotation mark within a value is escaped: these can only be keys.
	before, text, _ := bytes.Cut(text, []byte(`"topics":null`))
	between, after, _ := bytes.Cut(text, []byte(`"producers":null`))
	w.Write(before)
	w.WriteString(`"topics":`)
	topics, known := h.figures.Topics(f)
	empty := "[]"
	if !known {
		empty = "null"
	}
	if err := httpapi.WriteArray(w, topics, empty); err != nil {
		return err
	}
	w.Write(between)
	w.WriteString(`"producers":`)
	if err := httpapi.WriteArray(w, h.producers(f), "null"); err != nil {
		return err
	}
	_, err = w.Write(after)
	return err
}

// producers are those that the caller wants to see.
func (h *HTTP) producers(f Filter) iter.Seq[ClientFigures] {
	if f.Clients {
		return h.figures.Producers(f)
	}
	return slices.Values[[]ClientFigures](nil)
}

// flag reads a parameter that is true unless it plainly says no.
func flag(q url.Values, key string) bool {
	v := q.Get(key)
	return v != "false" && v != "0"
}

// writeStatsText lays the figures out for people.
func (h *HTTP) writeStatsText(w *bufio.Writer, a *statsAnswer, f Filter) {
	start := h.broker.StartTime()
	fmt.Fprintf(w, "%s\n", version.String("qd"))
	fmt.Fprintf(w, "start_time %s\n", start.Format(time.RFC3339))
	fmt.Fprintf(w, "uptime %s\n", time.Since(start))
	fmt.Fprintf(w, "\nHealth: %s\n", a.Health)
	if a.Damage != nil {
		writeDamage(w, a.Damage)
	}
	if a.Memory != nil {
		writeMemory(w, a.Memory)
	}
	none := "\nTopics: None\n"
	topics, _ := h.figures.Topics(f)
	for t := range topics {
		if none != "" {
			fmt.Fprint(w, "\nTopics:")
			none = ""
		}
		writeTopic(w, &t)
	}
	fmt.Fprint(w, none)
	none = "\nProducers: None\n"
	for p := range h.producers(f) {
		if none != "" {
			fmt.Fprint(w, "\nProducers:\n")
			none = ""
		}
		fmt.Fprintf(w, "   [%s %-21s] msgs: %-8d topics: %s connected: %s\n",
			p.Version, clientName(&p), published(&p), pubCounts(&p), connected(&p))
	}
	fmt.Fprint(w, none)
}

func writeMemory(w *bufio.Writer, m *memoryStats) {
	fmt.Fprint(w, "\nMemory:\n")
	v := reflect.ValueOf(*m)
	for i := range v.NumField() {
		fmt.Fprintf(w, "   %-25s\t%d\n", v.Type().Field(i).Tag.Get("json"), v.Field(i).Uint())
	}
}

func writeTopic(w *bufio.Writer, t *TopicFigures) {
	mark := "   "
	if t.Paused {
		mark = "*P "
	}
	fmt.Fprintf(w, "\n%s[%-15s] depth: %-5d be-depth: %-5d msgs: %-8d e2e%%: %s\n",
		mark, t.Name, t.Depth, t.BackendDepth, t.MessageCount, t.Latency)
	if r := t.Replica; r != nil {
		fmt.Fprintf(w, "      replica: %s leader: %s term: %d applied: %d lag: %d\n", r.Role, r.Leader, r.Term, r.Applied, r.Lag)
	}
	for i := range t.Channels {
		writeChannel(w, &t.Channels[i])
	}
}

func writeChannel(w *bufio.Writer, c *ChannelFigures) {
	mark := "      "
	if c.Paused {
		mark = "   *P "
	}
	fmt.Fprintf(w, "%s[%-25s] depth: %-5d be-depth: %-5d inflt: %-4d def: %-4d re-q: %-5d timeout: %-5d msgs: %-8d e2e%%: %s\n",
		mark, c.Name, c.Depth, c.BackendDepth, c.InFlightCount, c.DeferredCount,
		c.RequeueCount, c.TimeoutCount, c.MessageCount, c.Latency)
	if c.Until > 0 {
		fmt.Fprintf(w, "        ends at message %d, done: %t\n", c.Until, c.Done)
	}
	for i := range c.Clients {
		k := &c.Clients[i]
		fmt.Fprintf(w, "        [%s %-21s] state: %d inflt: %-4d rdy: %-4d fin: %-8d re-q: %-8d msgs: %-8d connected: %s\n",
			k.Version, clientName(k), k.State, k.InFlightCount, k.ReadyCount,
			k.FinishCount, k.RequeueCount, k.MessageCount, connected(k))
	}
}

// String is the percentiles as the text shows them.
func (l Latencies) String() string {
	texts := make([]string, len(l.Percentiles))
	for i, p := range l.Percentiles {
		texts[i] = shortDuration(float64(p.Value))
	}
	return strings.Join(texts, ", ")
}

// shortDuration writes a duration in ns with one decimal and the largest of
// NSQ's units that it exceeds.
func shortDuration(ns float64) string {
	switch {
	case ns > 1e9:
		return fmt.Sprintf("%.1fs", ns/1e9)
	case ns > 1e6:
		return fmt.Sprintf("%.1fms", ns/1e6)
	case ns > 1e3:
		return fmt.Sprintf("%.1fus", ns/1e3)
	}
	return fmt.Sprintf("%.1fns", ns)
}

// clientName is how the text names a client: by host, port and program.
func clientName(k *ClientFigures) string {
	_, port, _ := net.SplitHostPort(k.RemoteAddress) // none on other than TCP
	return k.Hostname + ":" + port + " " + k.UserAgent
}

func published(k *ClientFigures) (messages uint64) {
	for _, p := range k.PubCounts {
		messages += p.Count
	}
	return messages
}

func pubCounts(k *ClientFigures) string {
	var counts []string
	for _, p := range k.PubCounts {
		counts = append(counts, fmt.Sprintf("%s=%d", p.Topic, p.Count))
	}
	return strings.Join(counts, ",")
}

// connected is for how long the client has been there, in whole seconds.
func connected(k *ClientFigures) time.Duration {
	return time.Since(time.Unix(k.ConnectTime, 0)).Truncate(time.Second)
}

package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"qmq/internal/httpapi"
	"qmq/internal/version"
	"reflect"
	"strings"
	"time"
)

// stats is GET /stats: figures of everything, as JSON or as text.
func (h *HTTP) stats(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	f := statsFilter{topic: q.Get("topic"), channel: q.Get("channel"), clients: flag(q, "include_clients")}
	a := statsAnswer{
		Version:   version.Number,
		Health:    healthText(h.broker.Health()),
		StartTime: h.broker.StartTime().Unix(),
		Topics:    h.topicStats(f),
	}
	damage := h.broker.Damage()
	a.Damage = statsOfDamage(&damage)
	if f.clients {
		a.Producers = h.producerStats(f)
	}
	if flag(q, "include_mem") {
		a.Memory = readMemory()
	}
	if q.Get("format") == "json" {
		return a, nil
	}
	return statsText(&a, h.broker.StartTime()), nil
}

// flag reads a parameter that is true unless it plainly says no.
func flag(q url.Values, key string) bool {
	v := q.Get(key)
	return v != "false" && v != "0"
}

// statsText lays the figures out for people.
func statsText(a *statsAnswer, start time.Time) string {
	w := new(strings.Builder)
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
	if len(a.Topics) == 0 {
		fmt.Fprint(w, "\nTopics: None\n")
	} else {
		fmt.Fprint(w, "\nTopics:")
	}
	for i := range a.Topics {
		writeTopic(w, &a.Topics[i])
	}
	if len(a.Producers) == 0 {
		fmt.Fprint(w, "\nProducers: None\n")
	} else {
		fmt.Fprint(w, "\nProducers:\n")
	}
	for i := range a.Producers {
		p := &a.Producers[i]
		fmt.Fprintf(w, "   [%s %-21s] msgs: %-8d topics: %s connected: %s\n",
			p.Version, clientName(p), published(p), pubCounts(p), connected(p))
	}
	return w.String()
}

func writeMemory(w *strings.Builder, m *memoryStats) {
	fmt.Fprint(w, "\nMemory:\n")
	v := reflect.ValueOf(*m)
	for i := range v.NumField() {
		fmt.Fprintf(w, "   %-25s\t%d\n", v.Type().Field(i).Tag.Get("json"), v.Field(i).Uint())
	}
}

func writeTopic(w *strings.Builder, t *topicStats) {
	mark := "   "
	if t.Paused {
		mark = "*P "
	}
	fmt.Fprintf(w, "\n%s[%-15s] depth: %-5d be-depth: %-5d msgs: %-8d e2e%%: %s\n",
		mark, t.Name, t.Depth, t.BackendDepth, t.MessageCount, t.Latency)
	for i := range t.Channels {
		writeChannel(w, &t.Channels[i])
	}
}

func writeChannel(w *strings.Builder, c *channelStats) {
	mark := "      "
	if c.Paused {
		mark = "   *P "
	}
	fmt.Fprintf(w, "%s[%-25s] depth: %-5d be-depth: %-5d inflt: %-4d def: %-4d re-q: %-5d timeout: %-5d msgs: %-8d e2e%%: %s\n",
		mark, c.Name, c.Depth, c.BackendDepth, c.InFlightCount, c.DeferredCount,
		c.RequeueCount, c.TimeoutCount, c.MessageCount, c.Latency)
	for i := range c.Clients {
		k := &c.Clients[i]
		fmt.Fprintf(w, "        [%s %-21s] state: %d inflt: %-4d rdy: %-4d fin: %-8d re-q: %-8d msgs: %-8d connected: %s\n",
			k.Version, clientName(k), k.State, k.InFlightCount, k.ReadyCount,
			k.FinishCount, k.RequeueCount, k.MessageCount, connected(k))
	}
}

// String is the percentiles as the text shows them.
func (l latencyStats) String() string {
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
func clientName(k *clientStats) string {
	_, port, _ := net.SplitHostPort(k.RemoteAddress) // none on other than TCP
	return k.Hostname + ":" + port + " " + k.UserAgent
}

func published(k *clientStats) (messages uint64) {
	for _, p := range k.PubCounts {
		messages += p.Count
	}
	return messages
}

func pubCounts(k *clientStats) string {
	var counts []string
	for _, p := range k.PubCounts {
		counts = append(counts, fmt.Sprintf("%s=%d", p.Topic, p.Count))
	}
	return strings.Join(counts, ",")
}

// connected is for how long the client has been there, in whole seconds.
func connected(k *clientStats) time.Duration {
	return time.Since(time.Unix(k.ConnectTime, 0)).Truncate(time.Second)
}

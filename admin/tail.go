package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/names"
	"qmq/internal/tcpclient"
)

// Limits of a live tail.
const (
	tailsOnce   = 4                // at a time
	tailFor     = 10 * time.Minute // after which it ends by itself
	tailGap     = 500 * time.Millisecond
	tailPerGap  = 10      // messages that are shown of what comes in a gap
	tailBody    = 4 << 10 // bytes of a body
	tailFlight  = 100     // messages under way from all nodes
	tailTimeout = 5 * time.Second
)

// tailedRow is a message as a tail shows it.
type tailedRow struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // ms since 1970
	Size      int    `json:"size"`
	Body      []byte `json:"body"`
	Truncated bool   `json:"truncated"`
	Node      string `json:"node"` // address
}

// tail gathers what comes, so much of it as is shown.
type tail struct {
	mu   sync.Mutex // guards what follows
	rows []tailedRow
	seen int64 // messages since the last take
}

// handle takes what comes from a node, and is done with it.
func (t *tail) handle(messages []tcpclient.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range messages {
		m := &messages[i]
		t.seen++
		if len(t.rows) < tailPerGap {
			t.rows = append(t.rows, tailedRow{string(m.ID[:]), m.Timestamp / 1e6, len(m.Body), append([]byte{}, m.Body[:min(len(m.Body), tailBody)]...), len(m.Body) > tailBody, m.From.Address()})
		}
		m.From.Finish(m.ID)
	}
	if len(messages) > 0 {
		messages[0].From.Flush()
	}
}

// take is what came since it was called last.
func (t *tail) take() (rows []tailedRow, seen int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows, seen = t.rows, t.seen
	t.rows, t.seen = nil, 0
	return rows, seen
}

// tail is GET tail?topic=&sample=: messages of a topic as they come, as events. It has an
// ephemeral channel of its own on each node, which goes with it. It takes nothing away from
// others: nodes refuse it where the topic has no other channel, or is paused.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	o, err := s.tailOptions(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if !s.tails.Enter(r.Context()) {
		s.refuse(w, r, &failure{Status: http.StatusServiceUnavailable, Code: "BUSY", Text: "Others watch messages just now. Try again.", Retry: 5})
		return
	}
	defer s.tails.Leave()
	e := s.entryOf(r, "tail")
	e.Topic, e.Result, e.OK = o.Topic, "messages as they come", true
	s.activity.add(e)
	t := new(tail)
	o.Handle = t.handle
	ctx, cancel := context.WithTimeout(r.Context(), tailFor)
	defer cancel()
	stop := context.AfterFunc(s.streams, cancel)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- tcpclient.NewConsumer(o).Run(ctx) }()
	s.showTail(ctx, w, t, ended)
	cancel()
}

// showTail sends what comes until the viewer goes or the consumer ends, for which it waits.
func (s *Server) showTail(ctx context.Context, w http.ResponseWriter, t *tail, ended <-chan error) {
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	out.write(": begins\n\n")
	gap := time.NewTicker(tailGap)
	defer gap.Stop()
	for quiet := 0; ; {
		select {
		case err := <-ended:
			text := "The tail has ended: it lasts ten minutes."
			if err != nil {
				text = tailProblem(err)
			}
			out.event("bye", (&failure{Code: "ENDED", Text: text}).json())
			return
		case <-gap.C:
			rows, seen := t.take()
			if quiet++; seen == 0 && quiet < int(beatEvery/tailGap) {
				continue
			}
			quiet = 0
			text, _ := json.Marshal(map[string]any{"at": time.Now().UnixMilli(), "messages": append([]tailedRow{}, rows...), "seen": seen}) // it always marshals
			if out.event("messages", text); out.err != nil {
				<-ended
				return
			}
		case <-ctx.Done():
			if <-ended; out.err == nil && s.streams.Err() == nil {
				out.event("bye", (&failure{Code: "ENDED", Text: "The tail has ended: it lasts ten minutes."}).json())
			}
			return
		}
	}
}

// tailOptions say what is consumed.
func (s *Server) tailOptions(r *http.Request) (o tcpclient.ConsumerOptions, err error) {
	if err := s.mayPeek(r); err != nil {
		return o, err
	}
	q := r.URL.Query()
	topic := q.Get("topic")
	sample, err := strconv.Atoi(cmp.Or(q.Get("sample"), "0"))
	if err != nil || sample < 0 || sample > 99 {
		return o, badRequest("The sample must be between 1 and 99 percent.")
	}
	if !names.Valid(topic) {
		return o, badRequest("%q is no valid name of a topic.", topic)
	}
	nodes := s.tailNodes(r, topic)
	if len(nodes) == 0 {
		return o, &failure{Status: http.StatusNotFound, Code: "NOT_FOUND", Text: "No node that answers has the topic " + topic + "."}
	}
	var name [8]byte
	rand.Read(name[:])
	return tcpclient.ConsumerOptions{
		Options: tcpclient.Options{
			UserAgent: s.o.userAgent(), ClientID: "qadmin", Hostname: s.o.Hostname, SampleRate: sample, Tail: true, DialTimeout: tailTimeout, WriteTimeout: tailTimeout,
		},
		Topic: topic, Channel: "qadmin-" + hex.EncodeToString(name[:]) + "#ephemeral", MaxInFlight: tailFlight,
		Nodes:  func(context.Context) ([]string, error) { return nodes, nil },
		Grace:  time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}, nil
}

// tailNodes are the TCP addresses of the nodes that have a topic and answer.
func (s *Server) tailNodes(r *http.Request, topic string) (addresses []string) {
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) { addresses = c.TCPOf(topic) })
	return addresses
}

// tailProblem is why there is no tail, for people.
func tailProblem(err error) string {
	var refused *tcpclient.RefusedError
	switch {
	case errors.Is(err, tcpclient.ErrNoTail):
		return "The node knows no tails (it is no qd): a channel might take what waits for a first one. Peek instead."
	case errors.As(err, &refused):
		return "The node refuses it: " + words.Shorten(refused.Text) + ". Peek instead."
	}
	return words.Capital(reason(err)) + "."
}

package api

import (
	"context"
	"net"
	"net/http"

	"qmq/broker"
	"qmq/internal/httpapi"
	"qmq/internal/metrics"
	"qmq/internal/names"
	"qmq/lease"
	"qmq/server"
)

// HTTP serves the HTTP API. Its methods may be called concurrently.
type HTTP struct {
	broker   *broker.Broker
	sessions *server.TCP
	figures  *Figures
	o        Options
	server   *httpapi.Server
	peeks    *httpapi.Slots // one for each peek under way
	leases   *lease.Leases
}

// NewHTTP makes the API of the node that the figures are of, which are to be asked
// afterwards only. It serves once Serve is called.
func NewHTTP(f *Figures, o Options) *HTTP {
	h := &HTTP{broker: f.broker, sessions: f.sessions, figures: f, o: o, peeks: httpapi.NewSlots(maxPeeks, peekWait)}
	h.leases = lease.New(h.broker, lease.Options{MaxPolls: o.MaxPolls, MaxMessages: o.MaxLeases, MaxAnswers: maxAnswers, MaxKept: o.MaxKept, Others: o.Others})
	f.leases = h.leases // nobody has asked f yet
	h.server = httpapi.NewServer(h.guard(h.routes()), httpapi.Options{Places: o.Places, Unfinished: o.Unfinished, Sites: o.Sites, Logger: o.Logger})
	h.server.OnClose(h.leases.Close)
	return h
}

// Quiesce ends the waits of those who consume: nothing is given out any more. What they
// answer counts until Close.
func (h *HTTP) Quiesce() { h.leases.Close() }

// Leases are those of the clients that consume over HTTP.
func (h *HTTP) Leases() *lease.Leases { return h.leases }

// Serve answers requests that come to l until Close, then returns nil. It
// closes l. It may serve several listeners at a time.
func (h *HTTP) Serve(l net.Listener) error { return h.server.Serve(l) }

// Close stops accepting and waits for the requests under way until ctx is
// done; then it cuts them off.
func (h *HTTP) Close(ctx context.Context) error { return h.server.Close(ctx) }

// ServeHTTP answers one request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.server.ServeHTTP(w, r) }

// routes is the table of the API.
func (h *HTTP) routes() http.Handler {
	r := httpapi.NewRouter(h.o.Logger)
	r.Explain(names.Refusals)
	r.HandleRaw("GET", "/ping", http.HandlerFunc(h.ping))
	r.HandleRaw("GET", "/livez", http.HandlerFunc(h.livez))
	r.HandleRaw("GET", "/readyz", http.HandlerFunc(h.readyz))
	r.Handle("GET", "/info", h.info)
	r.Handle("GET", "/stats", httpapi.KnowsAlso(h.stats, "format", "topic", "channel", "include_clients", "include_mem", "include_config"))
	r.HandleRaw("GET", "/metrics", metrics.NewHandler("qd", newCollector(h).fill, h.o.Logger))

	// Not logged: there may be very many of them.
	r.HandleQuiet("POST", "/pub", h.pub)
	r.HandleQuiet("POST", "/mpub", h.mpub)
	r.HandleQuiet("POST", "/sub", h.sub)
	r.HandleQuiet("POST", "/fin", h.fin)
	r.HandleQuiet("POST", "/req", h.req)
	r.HandleQuiet("POST", "/touch", h.touch)

	r.Handle("POST", "/topic/create", httpapi.KnowsAlso(h.createTopic, "topic", "replicated"))
	r.Handle("POST", "/topic/delete", httpapi.KnowsAlso(h.deleteTopic, "topic", "everywhere"))
	r.Handle("POST", "/topic/empty", h.emptyTopic)
	r.Handle("POST", "/topic/pause", h.pauseTopic)
	r.Handle("POST", "/topic/unpause", h.unpauseTopic)
	r.Handle("POST", "/topic/adopt", httpapi.Knows(h.adoptTopic, "directory", "topic"))
	r.Handle("POST", "/damage/ack", httpapi.Knows(h.acknowledgeDamage, "until"))
	r.Handle("POST", "/channel/create", httpapi.KnowsAlso(h.createChannel, "topic", "channel", "tail", "from", "until", "then"))
	r.Handle("POST", "/channel/delete", h.deleteChannel)
	r.Handle("POST", "/channel/empty", h.emptyChannel)
	r.Handle("POST", "/channel/rewind", httpapi.Knows(h.rewindChannel, "topic", "channel", "to"))
	r.Meant("/channel/seek", "/channel/rewind")
	r.Handle("POST", "/channel/pause", h.pauseChannel)
	r.Handle("POST", "/channel/unpause", h.unpauseChannel)
	r.Handle("GET", "/channel/peek", httpapi.Knows(h.peek, "topic", "channel", "state", "limit", "order", "from", "since", "contains"))
	r.Handle("POST", "/channel/move", httpapi.Knows(h.moveMessages, "topic", "channel", "to", "limit", "until"))
	r.Handle("GET", "/topic/peek", httpapi.Knows(h.peekTopic, "topic", "limit", "order", "from", "since", "contains"))
	r.Handle("GET", "/message/body", httpapi.Knows(h.messageBody, "topic", "id"))
	r.Handle("POST", "/message/requeue", httpapi.Knows(h.requeueMessage, "topic", "channel", "id"))
	r.Handle("POST", "/message/finish", httpapi.Knows(h.finishMessage, "topic", "channel", "id"))
	r.Handle("POST", "/message/republish", httpapi.Knows(h.republishMessage, "topic", "channel", "id", "to", "finish"))
	r.Handle("POST", "/message/cancel", httpapi.Knows(h.cancelMessage, "topic", "id"))
	r.Handle("POST", "/client/close", httpapi.Knows(h.closeClient, "remote_address"))
	r.Handle("GET", "/deadletter/list", httpapi.Knows(h.deadLetters, "topic", "from", "limit"))
	r.Handle("POST", "/deadletter/putback", httpapi.Knows(h.putBack, "topic", "id", "all"))
	r.Handle("GET", "/topic/config", httpapi.Knows(h.topicConfig, "topic"))
	r.Handle("PUT", "/topic/config", httpapi.Knows(h.setTopicConfig, "topic"))
	r.Handle("GET", "/channel/config", httpapi.Knows(h.channelConfig, "topic", "channel"))
	r.Handle("PUT", "/channel/config", httpapi.Knows(h.setChannelConfig, "topic", "channel"))
	h.routesOfDrain(r)
	h.routesOfCluster(r)
	if h.o.Config != nil {
		r.Config(h.o.Config, h.o.MaxMsgSize)
	}
	r.Debug()
	return r
}

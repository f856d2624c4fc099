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
	h.leases = lease.New(h.broker, lease.Options{MaxPolls: o.MaxPolls, MaxMessages: o.MaxLeases, MaxAnswers: maxAnswers, Others: o.Others})
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
	r.Handle("GET", "/stats", h.stats)
	r.HandleRaw("GET", "/metrics", metrics.NewHandler("qd", newCollector(h).fill, h.o.Logger))

	// Not logged: there may be very many of them.
	r.HandleQuiet("POST", "/pub", h.pub)
	r.HandleQuiet("POST", "/mpub", h.mpub)
	r.HandleQuiet("POST", "/sub", h.sub)
	r.HandleQuiet("POST", "/fin", h.fin)
	r.HandleQuiet("POST", "/req", h.req)
	r.HandleQuiet("POST", "/touch", h.touch)

	r.Handle("POST", "/topic/create", h.createTopic)
	r.Handle("POST", "/topic/delete", h.deleteTopic)
	r.Handle("POST", "/topic/empty", h.emptyTopic)
	r.Handle("POST", "/topic/pause", h.pauseTopic)
	r.Handle("POST", "/topic/unpause", h.unpauseTopic)
	r.Handle("POST", "/topic/adopt", h.adoptTopic)
	r.Handle("POST", "/damage/ack", h.acknowledgeDamage)
	r.Handle("POST", "/channel/create", h.createChannel)
	r.Handle("POST", "/channel/delete", h.deleteChannel)
	r.Handle("POST", "/channel/empty", h.emptyChannel)
	r.Handle("POST", "/channel/rewind", h.rewindChannel)
	r.Handle("POST", "/channel/pause", h.pauseChannel)
	r.Handle("POST", "/channel/unpause", h.unpauseChannel)
	r.Handle("GET", "/channel/peek", h.peek)
	r.Handle("POST", "/channel/move", h.moveMessages)
	r.Handle("GET", "/topic/peek", h.peekTopic)
	r.Handle("GET", "/message/body", h.messageBody)
	r.Handle("POST", "/message/requeue", h.requeueMessage)
	r.Handle("POST", "/message/finish", h.finishMessage)
	r.Handle("POST", "/message/republish", h.republishMessage)
	r.Handle("POST", "/message/cancel", h.cancelMessage)
	r.Handle("POST", "/client/close", h.closeClient)
	r.Handle("GET", "/deadletter/list", h.deadLetters)
	r.Handle("POST", "/deadletter/putback", h.putBack)
	r.Handle("GET", "/topic/config", h.topicConfig)
	r.Handle("PUT", "/topic/config", h.setTopicConfig)
	r.Handle("GET", "/channel/config", h.channelConfig)
	r.Handle("PUT", "/channel/config", h.setChannelConfig)
	h.routesOfDrain(r)
	h.routesOfCluster(r)
	if h.o.Config != nil {
		r.Config(h.o.Config, h.o.MaxMsgSize)
	}
	r.Debug()
	return r
}

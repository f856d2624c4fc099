package server

import (
	"context"
	"net"
	"net/http"

	"qmq/broker"
	"qmq/internal/httpapi"
	"qmq/internal/names"
)

// HTTP serves the HTTP API. Its methods may be called concurrently.
type HTTP struct {
	broker *broker.Broker
	tcp    *TCP // whose sessions /stats shows
	o      Options
	server *httpapi.Server

	ports Ports
	peeks *httpapi.Slots
}

// Ports are where the listeners are; -1 for a listener without a port.
type Ports struct {
	TCP, HTTP int // as /info reports them
	HTTPS     int // as refusals of plain HTTP report it
}

// PortOf is the port of a listening address, -1 if it has none.
func PortOf(a net.Addr) int {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return -1
}

// NewHTTP makes the HTTP API of b and of the sessions of t.
func NewHTTP(b *broker.Broker, t *TCP, o Options, ports Ports) *HTTP {
	h := &HTTP{broker: b, tcp: t, o: o, ports: ports, peeks: httpapi.NewSlots(peeksOnce, peekWait)}
	h.server = httpapi.NewServer(h.guard(h.routes()), httpapi.Options{Places: t.places, Unfinished: t.unfinished, Sites: o.Sites, Logger: o.Logger})
	return h
}

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
	r.Handle("GET", "/info", h.info)
	r.Handle("GET", "/stats", h.stats)

	// Not logged: there may be very many of them.
	r.HandleQuiet("POST", "/pub", h.pub)
	r.HandleQuiet("POST", "/mpub", h.mpub)

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
	r.Handle("POST", "/channel/pause", h.pauseChannel)
	r.Handle("POST", "/channel/unpause", h.unpauseChannel)
	r.Handle("GET", "/channel/peek", h.peek)
	if h.o.Config != nil {
		r.Config(h.o.Config, h.o.MaxMsgSize)
	}
	r.Debug()
	return r
}

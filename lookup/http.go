package lookup

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"

	"qmq/internal/address"
	"qmq/internal/httpapi"
	"qmq/internal/metrics"
	"qmq/internal/names"
	"qmq/internal/version"
)

// Limits of HTTP.
const (
	// maxOption is the longest new value of an option in bytes.
	maxOption = 64 << 10
)

// HTTP answers what there is in a DB, and lets people change it. Its methods
// may be called concurrently.
type HTTP struct {
	db      *DB
	server  *httpapi.Server
	closing chan struct{} // closed when Close begins
}

// NewHTTP makes the HTTP API of db.
func NewHTTP(db *DB, o Options) *HTTP {
	h := &HTTP{db: db, closing: make(chan struct{})}
	h.server = httpapi.NewServer(h.routes(o), httpapi.Options{Sites: o.Sites, Logger: o.Logger})
	h.server.OnClose(sync.OnceFunc(func() { close(h.closing) }))
	return h
}

// Serve answers requests that come to l until Close, then returns nil. It
// closes l.
func (h *HTTP) Serve(l net.Listener) error { return h.server.Serve(l) }

// Close stops accepting, answers those that wait for a change, and waits for the
// requests under way until ctx is done; then it cuts them off.
func (h *HTTP) Close(ctx context.Context) error { return h.server.Close(ctx) }

// ServeHTTP answers one request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.server.ServeHTTP(w, r) }

func (h *HTTP) routes(o Options) http.Handler {
	r := httpapi.NewRouter(o.Logger)
	r.Explain(names.Refusals)
	r.HandleRaw("GET", "/ping", http.HandlerFunc(ping))
	r.Handle("GET", "/info", info)
	r.HandleRaw("GET", "/metrics", metrics.NewHandler("qlookupd", h.fillMetrics, o.Logger))
	r.Handle("GET", "/topics", h.topics)
	r.Handle("GET", "/channels", h.channels)
	r.Handle("GET", "/lookup", httpapi.KnowsAlso(h.lookup, "topic", "access", "wait", "index"))
	r.Handle("GET", "/nodes", httpapi.KnowsAlso(h.nodes, "node", "channels"))
	r.Handle("POST", "/topic/create", h.createTopic)
	r.Handle("POST", "/topic/delete", h.deleteTopic)
	r.Handle("POST", "/topic/tombstone", h.tombstone)
	r.Handle("POST", "/channel/create", h.createChannel)
	r.Handle("POST", "/channel/delete", h.deleteChannel)
	if o.Config != nil {
		r.Config(o.Config, maxOption)
	}
	r.HandleRaw("GET", "/debug", http.HandlerFunc(h.debug))
	r.HandleRaw("GET", "/debug/pprof", http.HandlerFunc(pprof.Index))
	r.Debug()
	return r
}

func ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("OK"))
}

func info(http.ResponseWriter, *http.Request) (any, error) {
	return InfoAnswer{Version: version.Number}, nil
}

func (h *HTTP) topics(http.ResponseWriter, *http.Request) (any, error) {
	return TopicsAnswer{Topics: h.db.topicNames()}, nil
}

func (h *HTTP) channels(_ http.ResponseWriter, r *http.Request) (any, error) {
	values, err := given(r, "topic")
	if err != nil {
		return nil, err
	}
	return ChannelsAnswer{Channels: h.db.channelNames(values[0])}, nil
}

// nodes is GET /nodes. Beyond NSQ's it takes node=broadcast_address:http_port,
// for that one alone, as it announces itself, and channels=true, for the channels of the topics.
func (h *HTTP) nodes(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		q = nil // there is none in NSQ's
	}
	nodes := h.db.nodes(q.Get("node"), address.AskerOf(r))
	if q.Get("channels") == "true" {
		h.db.addChannels(nodes)
	}
	return NodesAnswer{Producers: nodes}, nil
}

func (h *HTTP) createTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	names, err := validNames(r, "topic")
	if err != nil {
		return nil, err
	}
	h.db.createTopic(names[0])
	return nil, nil
}

func (h *HTTP) deleteTopic(_ http.ResponseWriter, r *http.Request) (any, error) {
	values, err := given(r, "topic")
	if err != nil {
		return nil, err
	}
	h.db.deleteTopic(values[0])
	return nil, nil
}

func (h *HTTP) tombstone(_ http.ResponseWriter, r *http.Request) (any, error) {
	values, err := given(r, "topic", "node")
	if err != nil {
		return nil, err
	}
	h.db.tombstone(values[0], values[1], address.AskerOf(r))
	return nil, nil
}

func (h *HTTP) createChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	names, err := validNames(r, "topic", "channel")
	if err != nil {
		return nil, err
	}
	h.db.createChannel(names[0], names[1])
	return nil, nil
}

func (h *HTTP) deleteChannel(_ http.ResponseWriter, r *http.Request) (any, error) {
	names, err := validNames(r, "topic", "channel")
	if err != nil {
		return nil, err
	}
	if !h.db.deleteChannel(names[0], names[1]) {
		return nil, &httpapi.Error{Status: http.StatusNotFound, Code: "CHANNEL_NOT_FOUND"}
	}
	return nil, nil
}

// given are the values of parameters, all of which must be there.
func given(r *http.Request, keys ...string) ([]string, error) {
	return parameters(r, func(string) bool { return true }, keys)
}

// validNames are the values of parameters that must be names.
func validNames(r *http.Request, keys ...string) ([]string, error) {
	return parameters(r, names.Valid[string], keys)
}

func parameters(r *http.Request, valid func(string) bool, keys []string) ([]string, error) {
	q, err := httpapi.Query(r)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, key := range keys {
		v, ok := q[key]
		if !ok {
			return nil, httpapi.Bad("MISSING_ARG_" + strings.ToUpper(key))
		}
		if !valid(v[0]) {
			return nil, httpapi.Bad("INVALID_ARG_" + strings.ToUpper(key))
		}
		values = append(values, v[0])
	}
	return values, nil
}

// debug is GET /debug: all registrations. There may be millions of them, so
// they are sent portion by portion.
func (h *HTTP) debug(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	between := byte('{')
	err := h.db.debugLines(func(portion map[string][]debugEntry) error {
		if len(portion) == 0 {
			return nil
		}
		text, err := json.Marshal(portion)
		if err != nil {
			return err
		}
		text[0] = between
		between = ','
		_, err = w.Write(text[:len(text)-1])
		return err
	})
	switch {
	case err != nil: // the client has gone
	case between == '{':
		w.Write([]byte("{}"))
	default:
		w.Write([]byte("}"))
	}
}

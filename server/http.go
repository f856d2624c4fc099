package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/julienschmidt/httprouter"

	"qmq/broker"
)

// Time limits of HTTP connections. A body may take as long as it likes, as
// long as something of it arrives within bodyPatience; an answer may take as
// long as a profile does.
const (
	headerPatience = 10 * time.Second
	idlePatience   = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// bodyPatience is a variable for tests only.
var bodyPatience = time.Minute

// HTTP serves the HTTP API. Its methods may be called concurrently.
type HTTP struct {
	broker *broker.Broker
	tcp    *TCP // whose sessions /stats shows
	o      Options
	server *http.Server

	tcpPort, httpPort int
}

// Ports are the ports that /info reports; -1 for a listener without one.
type Ports struct {
	TCP, HTTP int
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
	h := &HTTP{broker: b, tcp: t, o: o, tcpPort: ports.TCP, httpPort: ports.HTTP}
	h.server = &http.Server{
		Handler:           limitWaits(h.routes()),
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return h
}

// Serve answers requests that come to l until Close, then returns nil. It
// closes l.
func (h *HTTP) Serve(l net.Listener) error {
	if err := h.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops accepting and waits for the requests under way until ctx is
// done; then it cuts them off.
func (h *HTTP) Close(ctx context.Context) error {
	if err := h.server.Shutdown(ctx); err != nil {
		return h.server.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.server.Handler.ServeHTTP(w, r) }

// limitWaits sets a deadline to a body that no handler asks for: the HTTP
// server reads it before it answers, and would wait for ever. (There is none
// for a request without body; it would end long profiles.)
func limitWaits(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// A writer without deadlines, as in tests, just waits.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience))
		}
		next.ServeHTTP(w, r)
	})
}

// routes is the table of the API.
func (h *HTTP) routes() http.Handler {
	r := httprouter.New()
	r.HandleMethodNotAllowed = true
	r.NotFound = refuse(http.StatusNotFound, "NOT_FOUND")
	r.MethodNotAllowed = refuse(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	r.PanicHandler = h.crashed

	r.GET("/ping", h.ping)
	r.GET("/info", h.api(h.info))
	r.GET("/stats", h.api(h.stats))

	// Not logged: there may be very many of them.
	r.POST("/pub", h.quiet(h.pub))
	r.POST("/mpub", h.quiet(h.mpub))

	r.POST("/topic/create", h.api(h.createTopic))
	r.POST("/topic/delete", h.api(h.deleteTopic))
	r.POST("/topic/empty", h.api(h.emptyTopic))
	r.POST("/topic/pause", h.api(h.pauseTopic))
	r.POST("/topic/unpause", h.api(h.unpauseTopic))
	r.POST("/channel/create", h.api(h.createChannel))
	r.POST("/channel/delete", h.api(h.deleteChannel))
	r.POST("/channel/empty", h.api(h.emptyChannel))
	r.POST("/channel/pause", h.api(h.pauseChannel))
	r.POST("/channel/unpause", h.api(h.unpauseChannel))
	if h.o.Config != nil {
		r.GET("/config/:opt", h.api(h.getConfig))
		r.PUT("/config/:opt", h.api(h.putConfig))
	}
	debugRoutes(r)
	return r
}

// apiError is the refusal of a request. Its code is the message of the answer.
type apiError struct {
	status int
	code   string
}

func (e *apiError) Error() string { return e.code }

func bad(code string) error { return &apiError{http.StatusBadRequest, code} }

func internalError() error { return &apiError{http.StatusInternalServerError, "INTERNAL_ERROR"} }

// handler answers a request: an object is sent as JSON, a string or bytes as
// text, and nil as nothing.
type handler func(w http.ResponseWriter, r *http.Request) (any, error)

// api wraps a handler in the NSQ envelope and logs the request.
func (h *HTTP) api(f handler) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		start := time.Now()
		status := answer(w, r, f)
		h.o.Logger.Info(fmt.Sprintf("%d %s %s (%s) %s", status, r.Method, r.URL.RequestURI(), r.RemoteAddr, time.Since(start)))
	}
}

// quiet wraps a handler in the NSQ envelope.
func (h *HTTP) quiet(f handler) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) { answer(w, r, f) }
}

func answer(w http.ResponseWriter, r *http.Request, f handler) (status int) {
	data, err := f(w, r)
	if err != nil {
		return respondError(w, err)
	}
	return respond(w, data)
}

// respond sends a success.
func respond(w http.ResponseWriter, data any) (status int) {
	head := w.Header()
	head.Set("X-NSQ-Content-Type", "nsq; version=1.0")
	switch data := data.(type) {
	case nil:
		w.WriteHeader(http.StatusOK)
	case string:
		head.Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(data))
	case []byte:
		head.Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(data)
	default:
		body, err := json.Marshal(data)
		if err != nil {
			return respondError(w, err)
		}
		head.Set("Content-Type", "application/json; charset=utf-8")
		w.Write(body)
	}
	return http.StatusOK
}

// respondError sends a refusal. What is not an apiError is a fault of ours.
func respondError(w http.ResponseWriter, err error) (status int) {
	status, code := http.StatusInternalServerError, "INTERNAL_ERROR"
	var refusal *apiError
	if errors.As(err, &refusal) {
		status, code = refusal.status, refusal.code
	}
	body, _ := json.Marshal(struct { // strings always marshal
		Message string `json:"message"`
	}{code})
	head := w.Header()
	head.Set("X-NSQ-Content-Type", "nsq; version=1.0")
	head.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(body)
	return status
}

func refuse(status int, code string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		respondError(w, &apiError{status, code})
	})
}

// crashed answers a request whose handler panicked.
func (h *HTTP) crashed(w http.ResponseWriter, r *http.Request, reason any) {
	h.o.Logger.Error("request crashed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("reason", reason))
	respondError(w, internalError())
}

// query reads the parameters, which come from the query string only.
func query(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bad("INVALID_REQUEST")
	}
	return q, nil
}

package api

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/internal/vfs/crashfs"
	"qmq/server"
	"qmq/test/node"
	"qmq/test/wire"
)

// options are those of a rig. The sessions share the places and the memory of the
// API.
type options struct {
	Options
	sessions    server.Options
	percentiles []float64
}

// rig is the API of a fresh broker, with sessions on a port of their own.
type rig struct {
	t       *testing.T
	broker  *broker.Broker
	tcp     *server.TCP
	figures *Figures
	http    *HTTP
	address string // of the sessions
}

// start serves until the end of the test.
func start(t *testing.T, change ...func(*options)) *rig {
	t.Helper()
	return startOn(t, node.Open(t), change...)
}

func startOn(t *testing.T, b *broker.Broker, change ...func(*options)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	so := server.DefaultOptions()
	o := options{Options: OptionsFor(&so), sessions: so}
	o.Ports = Ports{TCP: PortOf(l.Addr()), HTTP: 4151}
	for _, c := range change {
		c(&o)
	}
	o.sessions.Places, o.sessions.Unfinished = o.Places, o.Unfinished
	r := &rig{t: t, broker: b, tcp: server.NewTCP(b, o.sessions), address: l.Addr().String()}
	r.figures = NewFigures(b, r.tcp, o.percentiles)
	r.http = NewHTTP(r.figures, o.Options)
	served := make(chan error, 1)
	go func() { served <- r.tcp.Serve(l) }()
	t.Cleanup(func() {
		if err := r.tcp.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// connect connects a client to the sessions, which sends the given bytes first.
func (r *rig) connect(first ...string) *wire.Conn {
	r.t.Helper()
	return wire.Connect(r.t, r.address, first...)
}

// consume connects a consumer with the given RDY count, 0 for none.
func (r *rig) consume(topic, channel string, ready int) *wire.Conn {
	r.t.Helper()
	return wire.Consume(r.t, r.address, topic, channel, ready)
}

// call sends a request to the API, without a socket.
func (r *rig) call(method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	q := httptest.NewRequest(method, target, strings.NewReader(body))
	q.RemoteAddr = "127.0.0.1:1234"
	r.http.ServeHTTP(w, q)
	var refusal struct{ Message string }
	if json.Unmarshal(w.Body.Bytes(), &refusal) == nil && w.Code >= 400 && !isCode.MatchString(refusal.Message) {
		r.t.Errorf("%s %s: message %q is no code", method, target, refusal.Message)
	}
	return w
}

// isCode is what the message of every refusal is: for programs.
var isCode = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// must calls and wants success.
func (r *rig) must(method, target, body string) string {
	r.t.Helper()
	w := r.call(method, target, body)
	if w.Code != http.StatusOK {
		r.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w.Body.String()
}

// failingDisk is an API whose disk can be told to refuse writes.
func failingDisk(t *testing.T) (r *rig, fail func(bool)) {
	disk := crashfs.New(1)
	r = startOn(t, node.Open(t, func(o *broker.Options) { o.FS = disk }))
	return r, func(on bool) {
		if !on {
			disk.Fail(nil)
			return
		}
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpWrite && strings.HasSuffix(name, ".seg") {
				return errors.New("no space left on device")
			}
			return nil
		})
	}
}

// eventually waits for what has no event of its own.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(wire.Timeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

// heapInUse is the memory in use after a collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

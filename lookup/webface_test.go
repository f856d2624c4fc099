package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// webFace asks directories through their HTTP handlers, without a socket.
type webFace struct {
	http  *HTTP
	stock bool // it answers as NSQ's do: all nodes, without channels
	took  time.Duration

	mu    sync.Mutex // guards what follows
	err   error
	asked []string
}

func (w *webFace) get(path string, query url.Values, into any) error {
	time.Sleep(w.took)
	w.mu.Lock()
	w.asked = append(w.asked, path+"?"+query.Encode())
	err := w.err
	w.mu.Unlock()
	if err != nil {
		return err
	}
	answer := httptest.NewRecorder()
	w.http.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path+"?"+query.Encode(), nil))
	if answer.Code != http.StatusOK {
		return fmt.Errorf("%d %s", answer.Code, answer.Body)
	}
	return json.Unmarshal(answer.Body.Bytes(), into)
}

func (w *webFace) fails(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// questions are those since the last call that begin with a path.
func (w *webFace) questions(path string) (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range w.asked {
		if strings.HasPrefix(q, path) {
			list = append(list, q)
		}
	}
	w.asked = nil
	return list
}

func (w *webFace) nodesAt(_ context.Context, _, node string) (answer NodesAnswer, err error) {
	query := url.Values{"node": {node}, "channels": {"true"}}
	if w.stock {
		query = nil
	}
	err = w.get("/nodes", query, &answer)
	return answer, err
}

func (w *webFace) Channels(_ context.Context, _ []string, topic string) ([]string, error) {
	var answer ChannelsAnswer
	err := w.get("/channels", url.Values{"topic": {topic}}, &answer)
	return answer.Channels, err
}

func (w *webFace) Lookup(_ context.Context, _ []string, topic string) (answer LookupAnswer, err error) {
	err = w.get("/lookup", url.Values{"topic": {topic}}, &answer)
	return answer, err
}

func (w *webFace) pauses(context.Context, []Producer, string) *pauses { return &pauses{} }

// askable makes a directory of ours that also answers questions.
func (s *scene) askableDirectory(stock bool) (*TCP, *webFace) {
	o := Options{BroadcastAddress: "d", Hostname: "d", TCPPort: 1, HTTPPort: 2, Logger: slog.New(slog.NewTextHandler(&s.log, nil))}
	tcp := NewTCP(NewDB(DBOptions{InactiveTimeout: 24 * time.Hour, TombstoneLifetime: 45 * time.Second}), o)
	s.t.Cleanup(func() { tcp.Close() })
	s.reaches(func(string) (net.Conn, error) {
		conn, own := net.Pipe()
		tcp.start(own)
		return conn, nil
	})
	web := &webFace{http: NewHTTP(tcp.db, o), stock: stock}
	s.ask = web
	s.names.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
	}
	return tcp, web
}

// withBoth runs a test with a directory of ours and with one that has only what
// NSQ's have.
func withBoth(t *testing.T, test func(*scene, *TCP, *webFace)) {
	for name, stock := range map[string]bool{"ours": false, "stock": true} {
		t.Run(name, func(t *testing.T) {
			inScene(t, func(s *scene) {
				tcp, web := s.askableDirectory(stock)
				test(s, tcp, web)
			})
		})
	}
}

package api

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"qmq/server"
	"qmq/test/node"
)

// BenchmarkSubAndFin consumes messages of 200 bytes, 100 at a time, on one connection: an
// operation is 100 messages, leased and finished.
func BenchmarkSubAndFin(b *testing.B) {
	so := server.DefaultOptions()
	store := node.Open(b)
	h := NewHTTP(NewFigures(store, server.NewTCP(store, so), nil), OptionsFor(&so))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = h.Serve(l) }()
	defer h.Close(b.Context())
	post := func(path, body string) []byte {
		answer, err := http.Post("http://"+l.Addr().String()+path, "", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Fatalf("%s: %d %s %v", path, answer.StatusCode, text, err)
		}
		return text
	}
	lines := strings.Repeat(strings.Repeat("x", 200)+"\n", 10_000)
	left := 0
	b.ReportAllocs()
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			post("/mpub?topic=t", lines)
			left = 10_000
			b.StartTimer()
		}
		var a subAnswer
		if err := json.Unmarshal(post("/sub?topic=t&channel=c&max=100", ""), &a); err != nil || len(a.Messages) != 100 {
			b.Fatal(len(a.Messages), err)
		}
		ids := make([]string, 0, 100)
		for i := range a.Messages {
			ids = append(ids, a.Messages[i].ID)
		}
		post("/fin?topic=t&channel=c", strings.Join(ids, "\n"))
		left -= len(ids)
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

package loadgen

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestDirectoriesAreThoseThatTheNodeTellsOf, at the port after that of TCP.
func TestDirectoriesAreThoseThatTheNodeTellsOf(t *testing.T) {
	for told, want := range map[string][]string{
		`["10.0.0.1:4160","lookup.example:14160","[::1]:4160"]`: {"10.0.0.1:4161", "lookup.example:14161", "[::1]:4161"},
		`[]`: nil,
	} {
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/config/nsqlookupd_tcp_addresses" {
				w.Header().Set("Content-Type", "application/json; charset=utf-8")
				io.WriteString(w, told)
			}
		}))
		r := &run{target: Target{HTTP: strings.TrimPrefix(node.URL, "http://")}}
		api := r.api()
		if got, err := r.directories(api); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", told, got, err, want)
		}
		api.Close()
		node.Close()
	}
}

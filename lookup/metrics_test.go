package lookup

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestMetricsOfADirectory(t *testing.T) {
	db := NewDB(DBOptions{InactiveTimeout: time.Minute, TombstoneLifetime: time.Minute})
	db.createTopic("a")
	db.createTopic("b")
	db.join("10.0.0.1:5", me)
	w := httptest.NewRecorder()
	q := httptest.NewRequest("GET", "/metrics", nil)
	q.RemoteAddr = "127.0.0.1:1"
	NewHTTP(db, Options{Logger: slog.New(slog.DiscardHandler)}).ServeHTTP(w, q)
	for _, line := range []string{"\nqlookupd_topics 2\n", "\nqlookupd_nodes 1\n", "\nqlookupd_build_info{"} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("no line %q in %s", line, w.Body)
		}
	}
}

package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLogSaysWhatIsAllowedWhereAnAnswerIsOnlyACode: of routes that are not
// logged otherwise, once a second.
func TestLogSaysWhatIsAllowedWhereAnAnswerIsOnlyACode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		r := NewRouter(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})))
		r.Explain(map[string]string{"INVALID_TOPIC": "names are short"})
		refuse := func(http.ResponseWriter, *http.Request) (any, error) { return nil, Bad("INVALID_TOPIC") }
		r.Handle("GET", "/asked", refuse)
		r.HandleQuiet("POST", "/often", refuse)
		r.HandleQuiet("POST", "/other", func(http.ResponseWriter, *http.Request) (any, error) { return nil, Bad("OTHER") })
		ask := func(method, path string, lines int) {
			t.Helper()
			log.Reset()
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != 400 || strings.Contains(w.Body.String(), "short") {
				t.Errorf("%s: answered %d %s", path, w.Code, w.Body)
			}
			if got := strings.Count(log.String(), "INVALID_TOPIC: names are short"); got != lines || lines == 0 && log.Len() > 0 {
				t.Errorf("%s: logged %q", path, log.String())
			}
		}
		ask("GET", "/asked", 1)
		ask("GET", "/asked", 1)
		ask("POST", "/often", 1)
		ask("POST", "/often", 0)
		ask("POST", "/other", 0)
		time.Sleep(time.Second)
		ask("POST", "/often", 1)
	})
}

func TestMistypedPathIsAnsweredWithTheOneThatWasMeant(t *testing.T) {
	r := NewRouter(slog.New(slog.DiscardHandler))
	nothing := func(http.ResponseWriter, *http.Request) (any, error) { return nil, nil }
	r.Handle("POST", "/pub", nothing)
	r.Handle("GET", "/config/:option", nothing)
	r.HandleRaw("GET", "/metrics", http.NotFoundHandler())
	r.Meant("/pubs/many", "/pub")
	for path, want := range map[string]string{
		"/pubs/many":   `{"message":"NOT_FOUND","why":"there is no such path; did you mean /pub?"}`,
		"/puub":        `{"message":"NOT_FOUND","why":"there is no such path; did you mean /pub?"}`,
		"/Metric":      `{"message":"NOT_FOUND","why":"there is no such path; did you mean /metrics?"}`,
		"/":            `{"message":"NOT_FOUND"}`,
		"/something":   `{"message":"NOT_FOUND"}`,
		"/config/:a/b": `{"message":"NOT_FOUND"}`,
	} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("POST", path, nil))
		if w.Code != 404 || w.Body.String() != want {
			t.Errorf("%s: answered %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}

package api

import (
	"bufio"
	"encoding/json"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// publishDescribed publishes a message of which all is said that can be said, with headers,
// one of which is no text.
func publishDescribed(t *testing.T, r *rig) {
	t.Helper()
	q := httptest.NewRequest("POST", "/pub?topic=t&key=u-1&priority=7&dedup_id=tx-1", strings.NewReader("paid"))
	q.Header.Set("X-Q-Header-Color", "red")
	q.Header.Set("X-Q-Header-Raw", "\xff\x01")
	q.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	w := httptest.NewRecorder()
	if r.http.ServeHTTP(w, q); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
}

// checkDescribed wants all that was said of the message, as JSON has it.
func checkDescribed(t *testing.T, m *LeasedMessage) {
	t.Helper()
	said := map[string]string{}
	for _, h := range m.Headers {
		said[h.Key] = h.Value + string(h.Base64)
	}
	want := map[string]string{
		"key": "u-1", "priority": "7", "dedup-id": "tx-1", "color": "red", "raw": "\xff\x01",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	if m.Key != "u-1" || m.Priority != 7 || m.Body != "paid" || !reflect.DeepEqual(said, want) {
		t.Errorf("%+v", m)
	}
}

func TestAllThatIsSaidOfAMessageComesAsJSON(t *testing.T) {
	r := start(t)
	publishDescribed(t, r)
	a := r.sub("topic=t&channel=c")
	if len(a.Messages) != 1 {
		t.Fatalf("%+v", a)
	}
	checkDescribed(t, &a.Messages[0])
}

func TestAllThatIsSaidOfAMessageComesAsAnEvent(t *testing.T) {
	r := start(t)
	publishDescribed(t, r)
	q, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+r.listen()+"/sub?topic=t&channel=c", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	in := bufio.NewReader(answer.Body)
	event(t, in) // the lease
	_, data := event(t, in)
	var m LeasedMessage
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		t.Fatal(data, err)
	}
	checkDescribed(t, &m)
	r.http.Quiesce() // or the answer would not end
}

func TestAllThatIsSaidOfAMessageComesInFieldsOfItsPart(t *testing.T) {
	r := start(t)
	publishDescribed(t, r)
	q := httptest.NewRequest("POST", "/sub?topic=t&channel=c", nil)
	q.Header.Set("Accept", "multipart/mixed")
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, q)
	_, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := multipart.NewReader(w.Body, params["boundary"]).NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"X-Q-Key": "u-1", "X-Q-Priority": "7", "X-Q-Dedup-Id": "tx-1", "X-Q-Header-Color": "red", "X-Q-Header-Raw": "=?utf-8?b?/wE=?=",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		if got := part.Header.Values(field); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if _, said := part.Header["X-Q-Header-Key"]; said {
		t.Errorf("%v", part.Header)
	}
}

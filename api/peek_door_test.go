package api

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMessagesAreShownToThoseWhoMaySeeThem: on this machine, with a credential,
// or with the option.
func TestMessagesAreShownToThoseWhoMaySeeThem(t *testing.T) {
	_, credentials := withCredentials(t, "stats bearer "+digestOf("s")+"\npeek bearer "+digestOf("p")+"\nread bearer "+digestOf("r"))
	open := func(o *options) { o.Peek = true }
	const stranger, here = "192.0.2.7:1234", "127.0.0.1:1234"
	for _, test := range []struct {
		with        []func(*options)
		from, token string
		header      string
		status      int
	}{
		{nil, stranger, "", "", 403},
		{nil, here, "", "", 200},
		{nil, "[::1]:1234", "", "", 200},
		{nil, "[::ffff:127.0.0.1]:1234", "", "", 200},
		{nil, here, "", "X-Forwarded-For", 403},
		{nil, here, "", "Forwarded", 403},
		{[]func(*options){open}, stranger, "", "", 200},
		{[]func(*options){open}, here, "", "X-Forwarded-For", 200},
		{[]func(*options){credentials}, here, "", "", 401},
		{[]func(*options){credentials, open}, here, "", "", 401},
		{[]func(*options){credentials}, stranger, "s", "", 403},
		{[]func(*options){credentials}, stranger, "p", "", 200},
		{[]func(*options){credentials}, stranger, "r", "", 200},
	} {
		var log bytes.Buffer
		r := start(t, append(test.with, func(o *options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })...)
		topic, err := r.broker.Topic("t")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Channel("ch"); err != nil {
			t.Fatal(err)
		}
		q := httptest.NewRequest("GET", "/channel/peek?topic=t&channel=ch", nil)
		q.RemoteAddr = test.from
		if test.token != "" {
			q.Header.Set("Authorization", "Bearer "+test.token)
		}
		if test.header != "" {
			q.Header.Set(test.header, "for=192.0.2.1")
		}
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, q)
		if w.Code != test.status {
			t.Errorf("%+v: %d %s", test, w.Code, w.Body)
		}
		if shown := strings.Contains(log.String(), `level=INFO msg=peek topic=t channel=ch`); shown != (w.Code == 200) {
			t.Errorf("%+v: in the log %v:\n%s", test, shown, &log)
		}
	}
}

func TestRoleForFiguresAloneSeesThem(t *testing.T) {
	_, with := withCredentials(t, "stats bearer "+digestOf("s"))
	r := start(t, with)
	for target, want := range map[string]int{"/stats": 200, "/info": 200, "/channel/peek?topic=t&channel=c": 403} {
		q := httptest.NewRequest("GET", target, nil)
		q.Header.Set("Authorization", "Bearer s")
		w := httptest.NewRecorder()
		r.http.ServeHTTP(w, q)
		if w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

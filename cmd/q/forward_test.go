package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// hook is a server that takes messages.
type hook struct {
	*httptest.Server
	mu     sync.Mutex // guards bodies
	bodies []string
}

// newHook answers each request with answer, which may take its time, and counts
// those that it answers well.
func newHook(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, body string) bool) *hook {
	h := new(hook)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body := string(text)
		if r.Method == http.MethodGet {
			body = r.URL.Query().Get("m")
		}
		if answer == nil || answer(w, r, body) {
			h.mu.Lock()
			h.bodies = append(h.bodies, body)
			h.mu.Unlock()
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.bodies)
}

// different counts the different bodies.
func (h *hook) different() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := make(map[string]bool)
	for _, body := range h.bodies {
		seen[body] = true
	}
	return len(seen)
}

// forwarding starts q forward of channel c of topic t.
func startForward(t *testing.T, s *server, args ...string) *running {
	return begin(t, strings.NewReader(""), append([]string{"forward", "t", "--channel=c", "--requeue-delay=1ms", "--addr=" + s.tcp}, args...)...)
}

// drained waits until channel c of topic t is empty.
func (s *server) drained(t *testing.T) {
	t.Helper()
	eventually(t, "the channel is empty", func() bool {
		c := s.figures("t").Channels[0]
		return c.Depth+c.InFlight+c.Deferred == 0
	})
}

func TestForwardPostsAndGets(t *testing.T) {
	s := withChannel(t)
	post := newHook(t, func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		return r.Method == http.MethodPost && r.Header.Get("Content-Type") == "text/x" && r.Header.Get("X-Key") == "a=b, c"
	})
	get := newHook(t, func(_ http.ResponseWriter, r *http.Request, _ string) bool { return r.Method == http.MethodGet })
	must(t, numbered(300), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, "--to-http="+post.URL, "--content-type=text/x", "--header=X-Key=a=b, c")
	s.drained(t)
	if code := r.stop(); code != exitOK || post.different() != 300 || post.count() != 300 {
		t.Errorf("exit code %d, %d messages, %s", code, post.count(), r.errors)
	}
	must(t, "a b&c\n", "pub", "t", "--addr="+s.tcp)
	r = startForward(t, s, "--to-http="+get.URL+"/?m=%s")
	s.drained(t)
	r.stop()
	if get.count() != 1 || get.bodies[0] != "a b&c" {
		t.Errorf("GET: %q", get.bodies)
	}
}

// TestForwardFinishesNothingThatFails: a server that refuses, breaks off and works
// again gets every message.
func TestForwardFinishesNothingThatFails(t *testing.T) {
	s := withChannel(t)
	var mu sync.Mutex
	tries := make(map[string]int)
	h := newHook(t, func(w http.ResponseWriter, _ *http.Request, body string) bool {
		mu.Lock()
		defer mu.Unlock()
		tries[body]++
		switch {
		case tries[body] == 1 && strings.HasSuffix(body, "7"):
			w.WriteHeader(http.StatusInternalServerError)
			return false
		case tries[body] == 1 && strings.HasSuffix(body, "3"):
			panic(http.ErrAbortHandler)
		}
		return true
	})
	must(t, numbered(50), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, "--to-http="+h.URL)
	s.drained(t)
	if code := r.stop(); code != exitOK || h.different() != 50 || h.count() != 50 {
		t.Errorf("exit code %d, %d messages of 50", code, h.different())
	}
	if !strings.Contains(r.errors.String(), "500 Internal Server Error") {
		t.Errorf("it says %s", r.errors)
	}
}

// TestForwardOfWhatHangsIsGivenBack, and one that is asked to stop meanwhile
// finishes nothing of it.
func TestForwardOfWhatHangsIsGivenBack(t *testing.T) {
	s := withChannel(t)
	free := make(chan struct{})
	hangs := newHook(t, func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		select {
		case <-r.Context().Done():
		case <-free:
		}
		return false
	})
	defer close(free)
	must(t, numbered(5), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, "--to-http="+hangs.URL, "--http-request-timeout=50ms")
	eventually(t, "it gives up waiting", func() bool { return s.figures("t").Channels[0].Requeued > 0 })
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	eventually(t, "all are there", func() bool {
		c := s.figures("t").Channels[0]
		return c.Depth+c.Deferred == 5 && c.InFlight == 0
	})
}

func TestForwardUsesADestinationThatWorks(t *testing.T) {
	s, good := withChannel(t), newHook(t, nil)
	must(t, numbered(100), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, "--to-http="+good.URL, "--to-http=http://127.0.0.1:1/", "--concurrency=1", "--max-in-flight=4")
	s.drained(t)
	r.stop()
	if good.different() != 100 {
		t.Errorf("%d messages", good.different())
	}
}

func TestForwardBySomeStatus(t *testing.T) {
	s := withChannel(t)
	refuses := newHook(t, func(w http.ResponseWriter, _ *http.Request, body string) bool {
		if strings.HasSuffix(body, "1") {
			w.WriteHeader(http.StatusConflict)
			return false
		}
		return true
	})
	must(t, numbered(20), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, "--to-http="+refuses.URL, "--on-status=4xx=requeue;409=finish")
	s.drained(t)
	r.stop()
	if refuses.count() != 18 {
		t.Errorf("%d messages", refuses.count())
	}
}

func TestForwardToNodes(t *testing.T) {
	s, a, b := withChannel(t), startServer(t), startServer(t)
	to := "--to-qd=" + a.tcp + "," + b.tcp
	must(t, numbered(20000), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, to, "--topic-map=t=copy", "--mode=round-robin")
	s.drained(t)
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if x, y := a.figures("copy").MessageCount, b.figures("copy").MessageCount; x+y != 20000 || x == 0 || y == 0 {
		t.Errorf("%d and %d", x, y)
	}
}

// TestForwardByKey: equal keys have the same destination.
func TestForwardByKey(t *testing.T) {
	s, a, b := withChannel(t), newHook(t, nil), newHook(t, nil)
	var lines strings.Builder
	for i := range 400 {
		fmt.Fprintf(&lines, `{"user":{"id":%d},"n":%d}`+"\n", i%20, i)
	}
	must(t, lines.String(), "pub", "t", "--addr="+s.tcp)
	r := startForward(t, s, "--to-http="+a.URL, "--to-http="+b.URL, "--mode=hash", "--key=json:user.id")
	s.drained(t)
	r.stop()
	where := make(map[string]*hook)
	for _, h := range []*hook{a, b} {
		for _, body := range h.bodies {
			user := string(jsonAt([]byte(body), []string{"user", "id"}))
			if other := where[user]; other != nil && other != h {
				t.Fatalf("user %s is at both", user)
			}
			where[user] = h
		}
	}
	if len(where) != 20 || a.count() == 0 || b.count() == 0 {
		t.Errorf("%d users; %d and %d messages", len(where), a.count(), b.count())
	}
}

func TestForwardFilters(t *testing.T) {
	for _, test := range []struct {
		f          filter
		body, want string // want empty: it does not pass
	}{
		{filter{}, "x", "x"},
		{filter{field: "a"}, `{"a":1}`, `{"a":1}`},
		{filter{field: "a"}, `{"b":1}`, ""},
		{filter{field: "a"}, `no JSON`, ""},
		{filter{field: "a", value: "1"}, `{"a":1.0}`, `{"a":1.0}`},
		{filter{field: "a", value: "1"}, `{"a":"1"}`, `{"a":"1"}`},
		{filter{field: "a", value: "1"}, `{"a":2}`, ""},
		{filter{field: "a", value: "x"}, `{"a":true}`, ""},
		{filter{keep: []string{"a", "c"}}, `{"c":12345678901234567890,"b":2,"a":1}`, `{"a":1,"c":12345678901234567890}`},
	} {
		got, pass := test.f.pass([]byte(test.body))
		if pass != (test.want != "") || pass && string(got) != test.want {
			t.Errorf("%+v of %s: %s, %v", test.f, test.body, got, pass)
		}
	}
	for path, want := range map[string]string{"a.b": "1", "a.l.1": `"y"`, "a.none": `{"a":{"b": 1,"l":["x","y"]}}`, "a.l.9": `{"a":{"b": 1,"l":["x","y"]}}`} {
		if got := string(jsonAt([]byte(`{"a":{"b": 1,"l":["x","y"]}}`), strings.Split(path, "."))); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestForwardSaysWhatIsWrong(t *testing.T) {
	for want, args := range map[string]string{
		"either --to-http or --to-qd":   "forward t",
		"is no URL of http":             "forward t --to-http=x",
		"neither body nor json:PATH":    "forward t --to-http=http://x --key=user",
		"--weight: b is no destination": "forward t --to-http=http://x --weight=b=1",
		"a status such as 409":          "forward t --to-http=http://x --on-status=5x=finish",
		"is no address":                 "forward t --to-qd=x",
		"needs --require-json-field":    "forward t --to-http=http://x --require-json-value=1",
	} {
		wantRefusal(t, exitFailed, want, strings.Fields(args)...)
	}
}

package lookup

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// nodeWith is a node of which /stats says what is paused: names with a ! are.
// The name "" is the topic. It answers after a while.
func nodeWith(t *testing.T, after time.Duration, names ...string) (entry string) {
	t.Helper()
	paused := func(name string) (string, bool) { bare, is := strings.CutSuffix(name, "!"); return bare, is }
	_, topicPaused := paused(names[0])
	var channels []string
	for _, name := range names[1:] {
		bare, is := paused(name)
		channels = append(channels, fmt.Sprintf(`{"channel_name":%q,"depth":5,"paused":%t,"clients":null}`, bare, is))
	}
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(after):
		case <-r.Context().Done():
		case <-release:
		}
		w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
		if r.URL.Path != "/stats" || r.URL.Query().Get("topic") != "t" || r.URL.Query().Get("format") != "json" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"version":"1.3.0","health":"OK","topics":[{"topic_name":"t","paused":%t,"channels":[%s]}],"producers":[]}`,
			topicPaused, strings.Join(channels, ","))
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	return producerAt(host, port)
}

func producerAt(host, webPort string) string {
	return `{"remote_address":"r","hostname":"h","broadcast_address":"` + host + `","tcp_port":` + webPort + `,"http_port":` + webPort + `,"version":"1.3.0"}`
}

// untilItIs asks again until the answer is right: what does not answer within half a second, as
// on a machine that is busy, is left out of one.
func untilItIs(t *testing.T, want string, ask func() string) {
	t.Helper()
	for began := time.Now(); ; {
		got := ask()
		if got == want {
			return
		}
		if time.Since(began) > testTimeout {
			t.Errorf("got %s, want %s", got, want)
			return
		}
	}
}

func TestPausedIsWhatIsPausedOnAllOtherNodesThatHaveIt(t *testing.T) {
	dead := unreachable(t)
	host, port, _ := net.SplitHostPort(dead)
	self := `{"remote_address":"r","hostname":"h","broadcast_address":"me","tcp_port":1,"http_port":2,"version":"2.0.0"}`
	for name, test := range map[string]struct {
		nodes []string
		want  string // of channels a, b and c, and the topic
	}{
		"none":            {nil, ""},
		"only this one":   {[]string{self}, ""},
		"one":             {[]string{nodeWith(t, 0, "", "a!", "b")}, "a"},
		"topic":           {[]string{nodeWith(t, 0, "!", "a")}, "topic"},
		"this one too":    {[]string{self, nodeWith(t, 0, "!", "a!", "b!", "c")}, "a b topic"},
		"all":             {[]string{nodeWith(t, 0, "!", "a!", "b!"), nodeWith(t, 0, "!", "a!", "b", "c!")}, "a c topic"},
		"not everywhere":  {[]string{nodeWith(t, 0, "!", "a!"), nodeWith(t, 0, "", "a")}, ""},
		"one is dead":     {[]string{nodeWith(t, 0, "!", "a!"), producerAt(host, port)}, ""},
		"one is late":     {[]string{nodeWith(t, 0, "!", "a!"), nodeWith(t, testTimeout, "!", "a!")}, ""},
		"impossible host": {[]string{nodeWith(t, 0, "!", "a!"), producerAt("127.0.0.1/x?y=", port)}, "a topic"},
	} {
		t.Run(name, func(t *testing.T) {
			web := answers(t, map[string]string{"GET /lookup?topic=t": `{"channels":["a","b","c"],"producers":[` + strings.Join(test.nodes, ",") + `]}`})
			webHost, webPort, _ := net.SplitHostPort(web)
			a := NewAnnouncer(AnnouncerOptions{Client: newTestClient(t), Logger: slog.New(slog.DiscardHandler)})
			defer a.Close()
			a.Start(me, []string{listening(t, func(c *caller) {
				c.meetAs(`{"broadcast_address":"` + webHost + `","http_port":` + webPort + `}`)
				c.next()
			})})
			untilItIs(t, "[a b c] <nil>, paused are "+test.want, func() string {
				channels, paused, err := a.Elsewhere(t.Context(), "t")
				var is []string
				for _, c := range slices.Sorted(maps.Keys(channels)) {
					if channels[c] {
						is = append(is, c)
					}
				}
				if paused {
					is = append(is, "topic")
				}
				return fmt.Sprintf("%s %v, paused are %s", slices.Sorted(maps.Keys(channels)), err, strings.Join(is, " "))
			})
		})
	}
}

// TestDirectoryOfIPVersion6IsAskedHoweverItAnnouncesItself: a directory may announce an address of IP
// version 6 either way.
func TestDirectoryOfIPVersion6IsAskedHoweverItAnnouncesItself(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("this machine has no IP version 6: %v", err)
		return
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
		w.Write([]byte(`{"channels":["c"],"producers":[]}`))
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"::1", "[::1]"} {
		a := NewAnnouncer(AnnouncerOptions{Client: newTestClient(t), Logger: slog.New(slog.DiscardHandler)})
		a.Start(me, []string{listening(t, func(c *caller) {
			c.meetAs(`{"broadcast_address":"` + host + `","http_port":` + port + `}`)
			c.next()
		})})
		untilItIs(t, host+": [c], <nil>", func() string {
			channels, _, err := a.Elsewhere(t.Context(), "t")
			return fmt.Sprintf("%s: %v, %v", host, slices.Collect(maps.Keys(channels)), err)
		})
		a.Close()
	}
}

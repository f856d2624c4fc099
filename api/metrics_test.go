package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/histogram"
	"qmq/internal/metrics"
	"qmq/message"
	"qmq/server"
	"qmq/test/node"
	"qmq/test/wire"
)

// scraped is an answer of /metrics: the families by name.
type scraped map[string]*dto.MetricFamily

func (r *rig) scrape() scraped {
	r.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(r.must("GET", "/metrics", "")))
	if err != nil {
		r.t.Fatal(err)
	}
	return families
}

// series finds one by its labels, written name=value.
func (s scraped) series(name string, labels ...string) *dto.Metric {
	f := s[name]
	for _, m := range f.GetMetric() {
		var has []string
		for _, l := range m.GetLabel() {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if slices.Equal(has, labels) {
			return m
		}
	}
	return nil
}

func (s scraped) value(name string, labels ...string) string {
	switch m := s.series(name, labels...); {
	case m == nil:
		return "none"
	case m.Counter != nil:
		return fmt.Sprint(m.Counter.GetValue())
	case m.Histogram != nil:
		return fmt.Sprint(m.Histogram.GetSampleCount())
	default:
		return fmt.Sprint(m.Gauge.GetValue())
	}
}

func (s scraped) want(t *testing.T, want, name string, labels ...string) {
	t.Helper()
	if got := s.value(name, labels...); got != want {
		t.Errorf("%s%v is %s, want %s", name, labels, got, want)
	}
}

func TestMetricsTellWhatStatsTell(t *testing.T) {
	v := &someVolume{free: 1000, used: 3000}
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.Volume, o.SpaceLimits = v, broker.SpaceLimits{FreePercent: 10} }), capped(10))
	c := r.consume("t", "c", 2)
	r.must("POST", "/pub?topic=t", "x")
	r.must("POST", "/mpub?topic=t", "x\ny\nz")
	c.Frame()
	c.Frame()
	r.call("POST", "/topic/pause?topic=t", "")
	s := r.scrape()
	s.want(t, "4", "qd_topic_messages_total", "topic=t")
	s.want(t, "4", "qd_topic_message_bytes_total", "topic=t")
	s.want(t, "1", "qd_topic_paused", "topic=t")
	of := []string{"channel=c", "topic=t"}
	s.want(t, "4", "qd_channel_messages_total", of...)
	s.want(t, "2", "qd_channel_deliveries_total", of...)
	s.want(t, "2", "qd_channel_in_flight_messages", of...)
	s.want(t, "2", "qd_channel_depth_messages", of...)
	s.want(t, "1", "qd_channel_consumers", of...)
	s.want(t, "2", "qd_channel_delivery_latency_seconds", of...)
	s.want(t, "none", "qd_topic_leader", "topic=t") // it is not replicated
	s.want(t, "1", "qd_healthy")
	s.want(t, "1", "qd_ready")
	s.want(t, "0", "qd_draining")
	s.want(t, "1", "qd_topics")
	s.want(t, "1", "qd_channels")
	s.want(t, "1", "qd_sessions")
	s.want(t, "1000", "qd_disk_free_bytes")
	s.want(t, "3000", "qd_disk_used_bytes")
	s.want(t, "400", "qd_disk_min_free_bytes")
	if s.value("qd_log_write_seconds") == "0" || s.value("qd_journal_write_seconds") == "0" {
		t.Error("writes take no time")
	}
	if s.series("go_goroutines") == nil || s.series("process_start_time_seconds") == nil {
		t.Error("the process is not told of")
	}

	r.broker.SetDraining(true)
	c2 := r.connect(wire.Pub("t", "x"))
	c2.ExpectError("E_PUB_FAILED PUB failed this node is being drained: publish to another one")
	s = r.scrape()
	s.want(t, "1", "qd_draining")
	s.want(t, "0", "qd_ready")
	s.want(t, "1", "qd_publishes_refused_total", "reason=draining")
	r.broker.SetDraining(false)
}

func capped(most int) func(*options) { return func(o *options) { o.MetricsMaxTopics = most } }

func TestFinishedMessagesAreInAHistogram(t *testing.T) {
	r := start(t, capped(10))
	c := r.consume("t", "c", 10)
	r.must("POST", "/pub?topic=t", "x")
	c.Fin(c.Message())
	of := []string{"channel=c", "topic=t"}
	c.Send("CLS\n")
	c.Expect("CLOSE_WAIT") // which is answered behind the FIN
	h := r.scrape().series("qd_channel_finish_latency_seconds", of...).Histogram
	last := h.Bucket[len(h.Bucket)-1]
	if len(h.Bucket) != len(metrics.Classic)+1 || last.GetCumulativeCount() != 1 || h.GetSampleSum() <= 0 {
		t.Errorf("%v", h)
	}
}

func TestNativeHistogramsAreForThoseWhoTakeThem(t *testing.T) {
	r := start(t, capped(10))
	c := r.consume("t", "c", 10)
	r.must("POST", "/pub?topic=t", "x")
	c.Message()
	q := httptest.NewRequest("GET", "/metrics", nil)
	q.RemoteAddr = "127.0.0.1:1"
	q.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.5")
	w := httptest.NewRecorder()
	r.http.ServeHTTP(w, q)
	families := make(scraped)
	decoder := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
	for {
		f := new(dto.MetricFamily)
		if err := decoder.Decode(f); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
	h := families.series("qd_channel_delivery_latency_seconds", "channel=c", "topic=t").GetHistogram()
	if h.GetSchema() != 2 || len(h.PositiveSpan) != 1 || len(h.PositiveDelta) != 1 || h.PositiveDelta[0] != 1 || h.GetZeroThreshold() <= 0 {
		t.Errorf("%v", h)
	}
	if len(h.Bucket) == 0 {
		t.Error("it has no classic buckets")
	}
}

func TestTopicsBeyondTheCapAreSummed(t *testing.T) {
	r := start(t, capped(2))
	publish := func(topic string, n int) {
		r.must("POST", "/topic/create?topic="+topic, "")
		r.must("POST", "/channel/create?topic="+topic+"&channel=c", "")
		for range n {
			r.must("POST", "/pub?topic="+topic, "x")
		}
	}
	publish("b", 1)
	publish("c", 2)
	const count = "qd_topic_messages_total"
	s := r.scrape()
	s.want(t, "1", count, "topic=b")
	s.want(t, "2", count, "topic=c")
	s.want(t, "none", count, "topic=other")
	publish("a", 4) // those that have series keep them
	publish("d", 8)
	publish("other", 16)
	s = r.scrape()
	s.want(t, "2", count, "topic=c")
	s.want(t, "28", count, "topic=other")
	s.want(t, "28", "qd_channel_depth_messages", "channel=other", "topic=other")
	s.want(t, "none", count, "topic=a")
	s.want(t, "5", "qd_topics")
	r.must("POST", "/topic/delete?topic=d", "") // a counter never goes back
	r.must("POST", "/topic/delete?topic=b", "")
	publish("a", 1)
	publish("e", 3) // it gets the place, and a stays where it is counted
	s = r.scrape()
	s.want(t, "28", count, "topic=other") // of 29 one is lost in what was deleted
	s.want(t, "3", count, "topic=e")
	s.want(t, "21", "qd_channel_depth_messages", "channel=other", "topic=other")
	publish("a", 1)
	r.scrape().want(t, "29", count, "topic=other")
}

func TestFamiliesFollowTheConventions(t *testing.T) {
	node, topics, set := MetricFamilies()
	seen := make(map[string]bool)
	for _, f := range slices.Concat(node, topics, set) {
		if seen[f.Name] || !strings.HasPrefix(f.Name, "qd_") || f.Help == "" || strings.HasSuffix(f.Help, ".") || !slices.IsSorted(f.Labels) {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
		if (f.Kind == metrics.Counter) != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s is a %s", f.Name, f.Kind)
		}
		if f.Kind == metrics.Histogram && !strings.HasSuffix(f.Name, "_seconds") {
			t.Errorf("%s has no unit", f.Name)
		}
	}
}

func TestMetricsOfASet(t *testing.T) {
	r := start(t, func(o *options) {
		saves := new(histogram.Histogram)
		saves.Add(2e9)
		o.ReplicaSet = func() SetFigures {
			return SetFigures{CutOff: true, Saves: saves, Sent: map[string]uint64{"log": 5, "publishes": 6}, Scrubbed: 14, ScrubLost: 15, Mended: 16, Unobtainable: 17, Members: []MemberFigures{{Address: "a:1", Connected: true, RTT: 0.5}},
				Shards: []ShardFigures{{Shard: 3, HasLeader: true, Term: 7, Lag: 9, Elections: 2, Repeated: 4, Followers: []FollowerFigures{{Address: "b:1", Lag: 11, Given: 13}}}}}
		}
	})
	s := r.scrape()
	s.want(t, "1", "qd_set_cut_off")
	s.want(t, "0.5", "qd_set_member_round_trip_seconds", "member=a:1")
	s.want(t, "7", "qd_set_shard_term", "shard=3")
	s.want(t, "11", "qd_set_follower_lag_entries", "member=b:1", "shard=3")
	s.want(t, "13", "qd_set_follower_snapshot_bytes", "member=b:1", "shard=3")
	s.want(t, "2", "qd_set_shard_elections_total", "shard=3")
	s.want(t, "4", "qd_set_shard_repeated_batches_total", "shard=3")
	s.want(t, "6", "qd_set_sent_bytes_total", "kind=publishes")
	s.want(t, "14", "qd_set_scrubbed_bytes_total")
	s.want(t, "15", "qd_set_scrub_damaged_messages_total")
	s.want(t, "16", "qd_set_mended_messages_total")
	s.want(t, "17", "qd_set_unobtainable_messages")
}

func TestMetricsNeedTheRoleStats(t *testing.T) {
	_, with := withCredentials(t, "stats bearer "+digestOf("s"), "publish bearer "+digestOf("p"))
	r := start(t, with)
	for credential, want := range map[string]int{"": http.StatusUnauthorized, "Bearer p": http.StatusForbidden, "Bearer s": http.StatusOK} {
		if w := r.as(credential, "GET", "/metrics"); w.Code != want {
			t.Errorf("%q: %d, want %d", credential, w.Code, want)
		}
	}
}

// BenchmarkScrape is a scrape of 1,000 topics with three channels each that have delivered
// and finished messages.
func BenchmarkScrape(b *testing.B) {
	h := NewHTTP(NewFigures(manyTopics(b), server.NewTCP(nil, server.DefaultOptions()), nil), Options{MetricsMaxTopics: 1000, Logger: slog.New(slog.DiscardHandler)})
	for name, accept := range map[string]string{"text": "text/plain", "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				q := httptest.NewRequest("GET", "/metrics", nil)
				q.RemoteAddr = "127.0.0.1:1"
				q.Header.Set("Accept", accept)
				w := &counting{header: make(http.Header)}
				h.ServeHTTP(w, q)
				b.ReportMetric(float64(w.n)/1e6, "MB")
			}
		})
	}
}

// counting is an answer of which only the length is kept.
type counting struct {
	header http.Header
	n      int
}

func (w *counting) Header() http.Header         { return w.header }
func (w *counting) WriteHeader(int)             {}
func (w *counting) Write(b []byte) (int, error) { w.n += len(b); return len(b), nil }

// manyTopics is a node with 1,000 topics of three channels, which have finished messages
// of many ages.
func manyTopics(b *testing.B) *broker.Broker {
	n := node.Open(b)
	now := n.Clock().Wall()
	for i := range 1000 {
		t, err := n.Topic(fmt.Sprintf("topic-%04d", i))
		if err != nil {
			b.Fatal(err)
		}
		var all []*taker
		for _, name := range []string{"archive", "billing", "mail"} {
			c, err := t.Channel(name)
			if err != nil {
				b.Fatal(err)
			}
			k, err := c.Subscribe(channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}})
			if err != nil {
				b.Fatal(err)
			}
			k.SetReady(100)
			all = append(all, &taker{Consumer: k})
		}
		var records diskqueue.Batch
		for age := time.Microsecond; age < time.Hour; age *= 2 {
			records.Add(&message.Meta{Timestamp: now - int64(age)}, []byte("x"))
		}
		if err := t.Publish(&records); err != nil {
			b.Fatal(err)
		}
		for _, k := range all {
			for k.Take(k, 100) > 0 {
				k.Answer(k.answers)
				k.answers = nil
			}
			k.Close()
		}
	}
	return n
}

// taker finishes what it takes.
type taker struct {
	*channel.Consumer
	answers []channel.Answer
}

func (k *taker) Put(m *channel.Message) bool {
	k.answers = append(k.answers, channel.Answer{Op: channel.Finish, ID: m.ID})
	return true
}

package loadgen

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"qmq/api"
	"qmq/broker"
	"qmq/server"
	"qmq/test/node"
)

// startQD serves a node in memory until the end of the test.
func startQD(t *testing.T) (Target, *broker.Broker) {
	t.Helper()
	b := node.Open(t)
	tcp, web := listen(t), listen(t)
	so := server.DefaultOptions()
	so.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	s := server.NewTCP(b, so)
	h := api.NewHTTP(api.NewFigures(b, s, nil), api.OptionsFor(&so))
	served := make(chan error, 2)
	go func() { served <- s.Serve(tcp) }()
	go func() { served <- h.Serve(web) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), h.Close(context.Background()), <-served, <-served); err != nil {
			t.Error(err)
		}
	})
	return Target{TCP: tcp.Addr().String(), HTTP: web.Addr().String()}, b
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEveryKindOfLoadMovesEveryMessageOnce(t *testing.T) {
	for name, l := range map[string]Load{
		"MPUB verified":           {Batch: 50, Window: 4, Verify: true},
		"MPUB, channels":          {Batch: 50, Window: 4, Channels: 3},
		"PUB, many of all":        {Publishers: 3, Window: 100, Channels: 2, Consumers: 3},
		"PUB waiting":             {Publishers: 4, Channels: 1},
		"PUB, RDY 1":              {Window: 100, Channels: 1, Consumers: 8, Ready: 1},
		"DPUB":                    {Window: 10, Channels: 1, Defer: 20 * time.Millisecond},
		"HTTP pub":                {HTTP: true, Publishers: 3, Channels: 1},
		"HTTP pub deferred":       {HTTP: true, Channels: 1, Defer: 20 * time.Millisecond},
		"HTTP mpub":               {HTTP: true, Batch: 50, Channels: 1},
		"backlog":                 {Batch: 50, Window: 4, Channels: 2, Consumers: 2, Backlog: true},
		"smallest body":           {Batch: 50, Window: 4, Channels: 1, Body: MinBody},
		"bodies above the buffer": {Batch: 2, Window: 2, Channels: 1, Body: 300 << 10, Measure: Amount{Messages: 20}},
		"HTTP, large bodies":      {HTTP: true, Channels: 1, Body: 300 << 10, Measure: Amount{Messages: 20}},
		"topics in turn":          {Topics: 7, Batch: 10, Window: 4},
		"topics over HTTP":        {Topics: 7, HTTP: true},
		"rate":                    {Publishers: 2, Window: 100, Channels: 1, Rate: 10000},
		"rate, waiting":           {Publishers: 2, Channels: 1, Rate: 10000},
		"rate, MPUB":              {Batch: 50, Window: 100, Channels: 1, Rate: 20000},
		"rate over HTTP":          {Publishers: 2, HTTP: true, Channels: 1, Rate: 2000, Measure: Amount{Messages: 200}},
		"TLS":                     {Batch: 50, Window: 4, Publishers: 2, Channels: 2, Encoding: Encoding{TLS: true}},
		"snappy":                  {Batch: 50, Window: 4, Channels: 2, Consumers: 2, Encoding: Encoding{Snappy: true}},
		"snappy, large bodies":    {Batch: 2, Window: 2, Channels: 1, Body: 300 << 10, Measure: Amount{Messages: 20}, Encoding: Encoding{Snappy: true}},
		"deflate":                 {Batch: 50, Window: 4, Channels: 1, Encoding: Encoding{Deflate: 6}},
		"deflate, large bodies":   {Batch: 2, Window: 2, Channels: 1, Body: 300 << 10, Measure: Amount{Messages: 20}, Encoding: Encoding{Deflate: 1}},
		"deflate verified":        {Window: 50, Verify: true, Encoding: Encoding{Deflate: 9}},
		"TLS, snappy":             {Batch: 50, Window: 4, Channels: 1, Encoding: Encoding{TLS: true, Snappy: true}},
		"TLS, deflate":            {Batch: 50, Window: 4, Channels: 1, Encoding: Encoding{TLS: true, Deflate: 3}},
		"TLS, large bodies":       {Batch: 2, Window: 2, Channels: 1, Body: 300 << 10, Measure: Amount{Messages: 20}, Encoding: Encoding{TLS: true}},
		"TLS, rate":               {Publishers: 2, Window: 100, Channels: 1, Rate: 10000, Encoding: Encoding{TLS: true}},
		"snappy, rate":            {Publishers: 2, Window: 100, Channels: 1, Rate: 10000, Encoding: Encoding{Snappy: true}},
		"TLS, deflate, rate":      {Publishers: 2, Window: 100, Channels: 1, Rate: 10000, Encoding: Encoding{TLS: true, Deflate: 6}},
		"rate, DPUB":              {Window: 100, Channels: 1, Rate: 10000, Defer: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			target, b := startQD(t)
			if l.Measure.Messages == 0 {
				l.Measure.Messages = 600
			}
			l.Warmup.Messages = 60
			r, err := Run(t.Context(), target, l, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, r, l)
			if topics := b.Topics(); len(topics) != 0 {
				t.Errorf("%d topics are left", len(topics))
			}
		})
	}
}

// checkResult compares a result with what the load asked for.
func checkResult(t *testing.T, r *Result, l Load) {
	t.Helper()
	messages := r.Messages
	if most := int64(l.Measure.Messages + max(1, l.Publishers)*max(1, l.Batch)); messages < int64(l.Measure.Messages) || messages >= most {
		t.Errorf("%d messages, want %d to %d", messages, l.Measure.Messages, most-1)
	}
	if r.Deliveries != messages*int64(l.Channels) {
		t.Errorf("%d messages, %d deliveries, %d channels", messages, r.Deliveries, l.Channels)
	}
	checkedChannels := int64(l.Channels)
	if l.Verify {
		checkedChannels = 1
	}
	warmup := int64(l.Warmup.Messages)
	if l.Backlog {
		warmup = 0
	}
	if r.Checked < (messages+warmup)*checkedChannels || !r.Sound() || r.Duplicated != 0 || r.Redelivered != 0 || r.FinRefused != 0 || r.Interrupted {
		t.Errorf("checked: %s", r.verdict())
	}
	if r.Server == "" || r.Seconds <= 0 || r.Rate <= 0 || r.ServerCPU == nil || *r.ServerCPU <= 0 || r.ServerUse.RSS <= 0 {
		t.Errorf("not measured: %+v", r)
	}
	if (l.Rate > 0) != (r.Delivered != nil) || l.Rate > 0 && (r.Delivered.Count != messages || r.Delivered.P50 <= 0) {
		t.Errorf("delivery latency %+v", r.Delivered)
	}
	if waiting := l.Window <= 1 || l.Rate > 0; waiting != (r.Published != nil) {
		t.Errorf("publish latency %+v", r.Published)
	}
}

func TestBacklogIsConsumedOnlyWhenItIsMeasured(t *testing.T) {
	target, _ := startQD(t)
	for range 20 { // few messages, which would be gone in no time
		r, err := Run(t.Context(), target, Load{Channels: 1, Consumers: 4, Backlog: true, Warmup: Amount{Messages: 10}, Measure: Amount{Messages: 10}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Messages != 10 || r.Deliveries != 10 || r.Checked != 10 || r.PublishRate != 0 {
			t.Fatalf("%+v", r)
		}
	}
}

func TestGivenTopicIsLeft(t *testing.T) {
	target, b := startQD(t)
	if _, err := Run(t.Context(), target, Load{Topic: "mine", Measure: Amount{Messages: 10}}, nil); err != nil {
		t.Fatal(err)
	}
	if topics := b.Topics(); len(topics) != 1 {
		t.Errorf("%d topics are left", len(topics))
	}
}

// TestGuestLeavesNothingBehind also when it is interrupted or fails midway.
func TestGuestLeavesNothingBehind(t *testing.T) {
	for name, l := range map[string]Load{
		"done":              {Topic: "mine", Verify: true, Batch: 10, Window: 2, Measure: Amount{Messages: 20}},
		"several topics":    {Topic: "mine", Topics: 3, Measure: Amount{Messages: 20}},
		"interrupted":       {Topic: "mine", Rate: 1000, Channels: 2, Measure: Amount{Duration: time.Hour}},
		"own name, stopped": {Rate: 1000, Channels: 1, Measure: Amount{Duration: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			target, b := startQD(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l.Guest = true
			_, err := Run(ctx, target, l, func(s Snapshot) {
				if s.Published > 0 && l.Measure.Duration > 0 {
					cancel()
				}
			})
			if topics := b.Topics(); err != nil || len(topics) != 0 {
				t.Errorf("%d topics are left, %v", len(topics), err)
			}
		})
	}
}

func TestGuestLeavesTopicsOfOthersAlone(t *testing.T) {
	target, b := startQD(t)
	publish := func(topic string) {
		if _, err := Run(t.Context(), target, Load{Topic: topic, Measure: Amount{Messages: 10}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, topic := range []string{"theirs", "waiting", "several-2"} {
		publish(topic)
	}
	theirs, err := b.Topic("theirs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Channel("work"); err != nil {
		t.Fatal(err)
	}
	one := Amount{Messages: 30}
	for name, l := range map[string]Load{
		"exists":                 {Topic: "theirs", Measure: one},
		"one of several":         {Topic: "several", Topics: 3, Measure: one},
		"channels, and waiting":  {Topic: "waiting", Channels: 1, Force: true, Measure: one},
		"several, all but alone": {Topic: "several", Topics: 3, Verify: false, Measure: one},
	} {
		l.Guest = true
		if _, err := Run(t.Context(), target, l, nil); !errors.Is(err, ErrTopicExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown := target
	unknown.HTTP = ""
	if _, err := Run(t.Context(), unknown, Load{Topic: "theirs", Guest: true, Measure: one}, nil); err == nil {
		t.Error("it was used though nobody could tell whether it exists")
	}
	if depth := theirs.Stats().Depth; depth != 0 || len(b.Topics()) != 3 {
		t.Errorf("depth %d, %d topics", depth, len(b.Topics()))
	}

	// With force it is used, and nothing is left but the messages.
	for _, l := range []Load{{Verify: true}, {Channels: 1}} {
		l.Topic, l.Guest, l.Force, l.Measure = "theirs", true, true, one
		r, err := Run(t.Context(), target, l, func(Snapshot) { publish("theirs") })
		if err != nil || !r.Sound() {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if got := theirs.Channels(); len(got) != 1 || got[0].Name() != "work" {
		t.Errorf("%d channels are left", len(got))
	}
}

func TestInterruptedRunTellsWhatItMeasured(t *testing.T) {
	for name, l := range map[string]Load{
		"as fast as it goes": {Batch: 100, Window: 4, Channels: 1, Consumers: 2},
		"at a rate":          {Rate: 1000, Window: 10, Channels: 1},
		"waiting at a rate":  {Rate: 1000, Channels: 1},
	} {
		t.Run(name, func(t *testing.T) {
			target, _ := startQD(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var phases []string
			l.Measure = Amount{Duration: time.Hour}
			r, err := Run(ctx, target, l, func(s Snapshot) {
				phases = append(phases, s.Phase)
				if s.Published > 0 {
					cancel()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Interrupted || r.Messages == 0 || r.Rate == 0 || !r.Sound() || len(phases) == 0 || phases[0] != "measuring" {
				t.Errorf("%+v in phases %s", r, phases)
			}
		})
	}
}

func TestPhaseEndsWithItsDuration(t *testing.T) {
	target, _ := startQD(t)
	r, err := Run(t.Context(), target, Load{Batch: 10, Window: 2, Channels: 1, Measure: Amount{Duration: 50 * time.Millisecond}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.PublishSeconds < 0.05 || r.Messages == 0 || r.Deliveries != r.Messages || r.Interrupted {
		t.Errorf("%+v", r)
	}
}

func TestServerThatIsNotThereIsAnError(t *testing.T) {
	l := listen(t)
	l.Close()
	if r, err := Run(t.Context(), Target{TCP: l.Addr().String()}, Load{Measure: Amount{Messages: 1}}, nil); err == nil || r != nil {
		t.Errorf("result %v, error %v", r, err)
	}
}

func TestComparisonTakesTurns(t *testing.T) {
	a, _ := startQD(t)
	b, _ := startQD(t)
	c, err := Compare(t.Context(), a, b, Load{Batch: 10, Channels: 1, Measure: Amount{Messages: 200}}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := c.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if len(c.A) != 3 || len(c.B) != 3 || !c.Sound() {
		t.Errorf("%d and %d runs, sound %v", len(c.A), len(c.B), c.Sound())
	}
	for _, part := range []string{"median of 3", "msg/s", "server CPU µs/msg", "publish p99 µs", "0 lost"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
}

func TestMedian(t *testing.T) {
	if m := Median([]float64{9, 1, 5}); *m != 5 {
		t.Errorf("of three: %v", *m)
	}
	if m := Median([]float64{9, 1, 5, 3}); *m != 4 {
		t.Errorf("of four: %v", *m)
	}
	if m := Median(nil); m != nil {
		t.Errorf("of none: %v", *m)
	}
}

func TestResultIsReadableByPeopleAndPrograms(t *testing.T) {
	target, _ := startQD(t)
	r, err := Run(t.Context(), target, Load{Window: 10, Channels: 1, Rate: 5000, Measure: Amount{Messages: 50}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"1 × PUB, window 10, 200 bytes, 5000 msg/s; 1 channels", "delivery latency", "p99.9", "sent late", "0 lost, 0 altered"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var decoded Result
	if err := json.Unmarshal(encoded, &decoded); err != nil || decoded.Rate != r.Rate || *decoded.Delivered != *r.Delivered {
		t.Errorf("%v: %s", err, encoded)
	}
}

func TestProcessIsFoundByWhereItListens(t *testing.T) {
	l := listen(t)
	pid, err := PIDOf(l.Addr().String())
	if err != nil || pid != os.Getpid() {
		t.Errorf("process %d, %v; want %d", pid, err, os.Getpid())
	}
	u, err := UsageOf(pid)
	if err != nil || u.CPU <= 0 || u.RSS <= 0 || u.PeakRSS < u.RSS {
		t.Errorf("usage %+v, %v", u, err)
	}
	l.Close()
	if _, err := PIDOf(l.Addr().String()); !errors.Is(err, ErrNotLocal) {
		t.Errorf("closed listener: %v", err)
	}
	if _, err := PIDOf("192.0.2.1:4150"); !errors.Is(err, ErrNotLocal) {
		t.Errorf("elsewhere: %v", err)
	}
}

// What works for a server, as the other members of a set do, is counted with it, and
// what is gone is not known.
func TestCPUTimeOfThoseWhoWorkForTheServer(t *testing.T) {
	target, _ := startQD(t)
	for name, test := range map[string]struct {
		with  []int
		known bool
	}{"nobody": {nil, false}, "another": {[]int{os.Getppid()}, true}, "gone": {[]int{1 << 30}, false}} {
		target.PID, target.With = os.Getpid(), test.with
		r, err := Run(t.Context(), target, Load{Measure: Amount{Messages: 10}}, nil)
		if err != nil || (r.TogetherCPU != nil) != test.known || test.known && *r.TogetherCPU < *r.ServerCPU {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

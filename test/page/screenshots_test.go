package page

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/nsqio/go-nsq"
)

var screenshots = flag.String("screenshots", "", "make the pictures of the page anew, in this directory")

// maxPicture is how large a picture may be, in bytes.
const maxPicture = 200 << 10

var pictures = []string{"overview", "overview-dark", "overview-phone", "topics", "topic", "channel", "nodes", "activity", "settings"}

// TestScreenshots holds that the pictures are there and small; with
// -screenshots it makes them, of a busy afternoon in a few minutes.
func TestScreenshots(t *testing.T) {
	directory := filepath.Join("..", "..", "docs", "img")
	if *screenshots != "" {
		directory = *screenshots
		take(t, directory)
	}
	for _, name := range pictures {
		text, err := os.ReadFile(filepath.Join(directory, "qadmin-"+name+".png"))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := png.DecodeConfig(bytes.NewReader(text)); err != nil || len(text) > maxPicture {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// filmTime is how long the daemons work before the pictures are taken, so that
// charts have lines and rules something to say.
const filmTime = 150 * time.Second

// take makes the pictures.
func take(t *testing.T, directory string) {
	r := startRig(t, "--topology-zone=eu-central-1a --e2e-processing-latency-percentile=0.5,0.95,0.99 --e2e-processing-latency-window-time=1m",
		"--topology-zone=eu-central-1b --e2e-processing-latency-percentile=0.5,0.95,0.99 --e2e-processing-latency-window-time=1m",
		"--topology-zone=eu-central-1c --e2e-processing-latency-percentile=0.5,0.95,0.99 --e2e-processing-latency-window-time=1m")
	b := newTab(t, r.admin.base())
	b.as("maria.keller")
	b.prefers("prefers-color-scheme", "light")
	b.open("", "overview") // while somebody looks, history has seconds
	play(t, r)
	for _, n := range r.nodes {
		n.configure(t, "/topic/config?topic=orders", `{"max_age": "72h", "max_bytes": "10GiB", "overflow": "drop-oldest"}`)
	}
	r.nodes[0].configure(t, "/topic/config?topic=orders", `{"retention_time": "24h"}`)
	b.shows("#busiest-table", "invoices")
	b.do("pause", evaluate(`fetch('api/q/act', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"action": "pause_channel", "topic": "parcel.tracking", "channel": "eta"}'})`))
	begin := time.NewTimer(filmTime)
	select {
	case <-begin.C:
	case <-t.Context().Done():
		t.Fatal("there is no time for the pictures")
	}
	shoot := func(name string) {
		t.Helper()
		b.until(`document.fonts.status === 'loaded'`)
		text, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(directory, "qadmin-"+name+".png"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(directory, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	line := `document.querySelector('.trace')`
	b.until(line)
	shoot("overview")
	b.prefers("prefers-color-scheme", "dark")
	shoot("overview-dark")
	b.prefers("prefers-color-scheme", "light")
	b.size(390, 844)
	b.open("", "overview")
	b.until(line)
	shoot("overview-phone")
	b.size(1440, 900)
	b.open("topics", "topics")
	b.until(`document.querySelector('#topics-table .spark path')`)
	shoot("topics")
	b.open("topics/orders", "topic")
	b.until(line)
	shoot("topic")
	b.shows("#config-table", "set here")
	b.do("settings", evaluate(`document.querySelector('#config').scrollIntoView({ block: 'start' })`))
	shoot("settings")
	b.open("nodes", "nodes")
	b.shows("#nodes-table [data-column=registered]", "1 of 1")
	shoot("nodes")
	b.size(1440, 1080)
	b.open("topics/invoices/render", "channel")
	b.until(line)
	b.shows("#consumers-table", "render-2")
	b.click("[data-state=inflight]") // the slow ones stay there for a while
	b.until(`document.querySelector('#body')`)
	b.do("top", evaluate(`scrollTo(0, 0)`))
	shoot("channel")
	b.size(1440, 900)
	b.use()
	b.open("activity", "activity")
	b.shows("#activity-table", "emptied channel")
	shoot("activity")
}

// as sends a name along, as a proxy that knows people does.
func (b *tab) as(user string) {
	b.t.Helper()
	b.do("user", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-Forwarded-User": user}})
		return chromedp.Void{}, err
	})
}

// use leaves some lines in Activity.
func (b *tab) use() {
	b.t.Helper()
	for _, act := range []string{
		`{"action": "create_channel", "topic": "signups", "channel": "crm"}`, `{"action": "pause_topic", "topic": "stock-levels"}`,
		`{"action": "unpause_topic", "topic": "stock-levels"}`, `{"action": "empty_channel", "topic": "audit.log", "channel": "cold-storage"}`,
	} {
		b.do("act", evaluate(fmt.Sprintf(`fetch('api/q/act', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: %q})`, act)))
	}
}

// play lets topics flow through the daemons until the test ends.
func play(t *testing.T, r *rig) {
	topics := map[string][]string{
		"orders": {"archive", "billing", "loyalty"}, "invoices": {"render", "pdf"}, "page-views": {"hourly", "sessions"},
		"signups": {"welcome-mail"}, "stock-levels": {"search-index"}, "audit.log": {"cold-storage"}, "parcel.tracking": {"notify", "eta"},
	}
	perSecond := map[string]int{"orders": 48, "invoices": 20, "page-views": 310, "signups": 3, "stock-levels": 76, "audit.log": 30, "parcel.tracking": 22}
	for topic, channels := range topics {
		for _, n := range r.nodes {
			n.post(t, "/topic/create?topic="+topic, "")
			for _, channel := range channels {
				n.post(t, "/channel/create?topic="+topic+"&channel="+channel, "")
			}
			n.publish(t, topic, perSecond[topic], order)
		}
		for _, channel := range channels {
			if channel == "cold-storage" {
				continue // nobody reads it
			}
			serve(t, r, topic, channel)
		}
	}
}

// serve starts the consumers of a channel, each with its own pace.
func serve(t *testing.T, r *rig, topic, channel string) {
	for i := range 2 {
		name := fmt.Sprintf("%s-%d", channel, i+1)
		config := func(c *nsq.Config) {
			c.ClientID, c.Hostname, c.UserAgent = name, name+".shop.internal", "go-nsq/1.1.0"
			c.MaxInFlight, c.DefaultRequeueDelay = 60, 3*time.Second
		}
		handler := nsq.HandlerFunc(func(m *nsq.Message) error {
			if rand.IntN(400) == 0 {
				m.RequeueWithoutBackoff(-1)
			}
			return nil
		})
		switch {
		case channel == "render":
			handler = sometimes(t, 15, 2600*time.Millisecond)
			inner := config
			config = func(c *nsq.Config) { inner(c); c.MsgTimeout, c.MaxInFlight = 2*time.Second, 120 }
		case slices.Contains([]string{"billing", "hourly"}, channel):
			handler = slow(t, 5*time.Millisecond)
		}
		consume(t, topic, channel, config, handler, r.nodes...)
	}
}

// slow is a handler that takes its time.
func slow(t testing.TB, each time.Duration) nsq.HandlerFunc {
	return func(*nsq.Message) error {
		linger(t, each+time.Duration(rand.Int64N(int64(each))))
		return nil
	}
}

// sometimes is a handler that takes long for one message in so many.
func sometimes(t testing.TB, one int, long time.Duration) nsq.HandlerFunc {
	return func(*nsq.Message) error {
		if rand.IntN(one) == 0 {
			linger(t, long)
		}
		return nil
	}
}

// linger is work that takes so long, unless the test ends.
func linger(t testing.TB, d time.Duration) {
	work := time.NewTimer(d)
	defer work.Stop()
	select {
	case <-work.C:
	case <-t.Context().Done():
	}
}

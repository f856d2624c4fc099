package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/test/node"
	"qmq/test/wire"
)

// directories are how many there are.
type directories struct{ with, of int }

func (d *directories) Registered() (with, of int) { return d.with, d.of }

// someDrain is a drain of a broker that ends when it is told to.
type someDrain struct {
	broker *broker.Broker
	until  time.Time
	over   bool
}

func (d *someDrain) Begin()                   { d.until = time.Unix(1000, 0); d.broker.SetDraining(true) }
func (d *someDrain) Until() (time.Time, bool) { return d.until, !d.until.IsZero() }
func (d *someDrain) End() bool {
	if !d.over {
		d.until = time.Time{}
		d.broker.SetDraining(false)
	}
	return !d.over
}

var segment = regexp.MustCompile(`[0-9a-f]{16}\.seg`)

func TestProbesTable(t *testing.T) {
	r, fail := failingDisk(t)
	d := new(directories)
	r.http.o.Directories = d
	check := func(what string, want string) {
		t.Helper()
		w := r.call("GET", "/readyz", "")
		if got := fmt.Sprint(w.Code, " ", segment.ReplaceAllString(w.Body.String(), "SEGMENT")); got != want {
			t.Errorf("%s: readyz says %s, want %s", what, got, want)
		}
		if w := r.call("GET", "/livez", ""); w.Code != http.StatusOK || w.Body.String() != "OK" {
			t.Errorf("%s: livez says %d %s", what, w.Code, w.Body)
		}
	}
	check("a node without directories", "200 OK")
	d.of = 2
	check("registered with none", "503 NOK - registered with none of 2 lookup directories")
	d.with = 1
	check("registered with one", "200 OK")
	r.broker.SetDraining(true)
	check("drained", "503 NOK - this node is being drained: publish to another one")
	d.with = 0
	check("drained and not registered", "503 NOK - this node is being drained: publish to another one; registered with none of 2 lookup directories")
	if w := r.call("GET", "/ping", ""); w.Body.String() != "OK" {
		t.Errorf("/ping of a node that is well, and drained: %s", w.Body)
	}
	r.broker.SetDraining(false)
	d.with = 2
	fail(true)
	r.call("POST", "/pub?topic=t", "x")
	check("a disk that is full", "503 NOK - topic t: write SEGMENT: no space left on device")
	fail(false)
}

func TestProbesNeedNeitherCredentialNorTLS(t *testing.T) {
	_, with := withCredentials(t, "admin bearer "+digestOf("a"))
	r := start(t, with, func(o *options) { o.HTTPSRequired = true })
	for _, path := range []string{"/livez", "/readyz"} {
		if w := r.call("GET", path, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if w := r.call("POST", path, ""); w.Code != http.StatusForbidden {
			t.Errorf("POST %s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := r.call("GET", "/ping", ""); w.Code != http.StatusForbidden {
		t.Errorf("/ping in clear: %d %s", w.Code, w.Body)
	}
}

func TestDrainOverHTTP(t *testing.T) {
	b := node.Open(t)
	d := &someDrain{broker: b}
	r := startOn(t, b, func(o *options) { o.Drain = d })
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/pub?topic=t", "x")
	if got, want := r.must("GET", "/drain", ""), `{"draining":false,"waiting":[],"left":[{"topic":"t","channel":"c","depth":1,"in_flight_count":0,"deferred_count":0,"left":"no consumer"}]}`; got != want {
		t.Errorf("before: %s", got)
	}
	if strings.Contains(r.must("GET", "/stats?format=json", ""), "draining") {
		t.Error("/stats says that it is drained")
	}
	if got := r.must("POST", "/drain", ""); !strings.HasPrefix(got, `{"draining":true,"until":1000,`) {
		t.Errorf("drained: %s", got)
	}
	if text := r.must("GET", "/stats?format=json", ""); !strings.Contains(text, `,"draining":true`) {
		t.Errorf("/stats of a drained node: %s", text)
	}
	if w := r.call("POST", "/pub?topic=t", "x"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "drained") {
		t.Errorf("publish: %d %s", w.Code, w.Body)
	}
	c := r.connect(wire.Pub("t", "x"), wire.MPub("t", "x"))
	c.ExpectError("E_PUB_FAILED PUB failed this node is being drained: publish to another one")
	c.ExpectError("E_MPUB_FAILED MPUB failed this node is being drained: publish to another one")
	r.must("POST", "/undrain", "")
	c.Send(wire.Pub("t", "x"))
	c.Expect("OK")
	r.must("POST", "/undrain", "") // it is so already
	r.must("POST", "/drain", "")
	d.over = true
	if w := r.call("POST", "/undrain", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("undrain of a node that stops: %d %s", w.Code, w.Body)
	}
	r.broker.SetDraining(false)
}

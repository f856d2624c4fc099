package api

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"qmq/broker"
	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
	"qmq/test/node"
)

const strangeDirectory = "orders-00000000000000ab"

// startDamaged serves a node that keeps the directory of an unknown topic.
func startDamaged(t *testing.T) *rig {
	t.Helper()
	return startAfter(t, func(*broker.Broker) {}, func(fs vfs.FS, topics string) error {
		return fs.MkdirAll(filepath.Join(topics, strangeDirectory))
	})
}

// startAfter serves a node that was at work before, and whose disk was spoilt
// since.
func startAfter(t *testing.T, work func(*broker.Broker), spoil func(fs vfs.FS, topics string) error) *rig {
	t.Helper()
	o := node.Options()
	o.FS = vfs.NewMem()
	if err := o.FS.MkdirAll(o.DataPath); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	work(b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := spoil(o.FS, filepath.Join(o.DataPath, "topics")); err != nil {
		t.Fatal(err)
	}
	return startOn(t, node.Open(t, func(other *broker.Options) { *other = o }))
}

// damageOf is what /stats says of it.
func (r *rig) damageOf() *damageStats {
	r.t.Helper()
	var a struct {
		Damage *damageStats `json:"damage"`
	}
	if err := json.Unmarshal([]byte(r.must("GET", "/stats?format=json", "")), &a); err != nil {
		r.t.Fatal(err)
	}
	return a.Damage
}

func TestDamageIsShownUntilItIsAcknowledgedAndTheAnswerSaysWhatWas(t *testing.T) {
	r := startDamaged(t)
	d := r.damageOf()
	if d == nil || len(d.Findings) != 1 || d.Findings[0].Kind != broker.UnknownDirectory || d.Last != d.Findings[0].Number {
		t.Fatalf("damage is %+v", d)
	}
	if text := r.must("GET", "/stats", ""); !strings.Contains(text, strangeDirectory) {
		t.Errorf("the text is without it: %s", text)
	}
	if text := r.must("GET", "/ping", ""); text != "OK" {
		t.Errorf("ping: %s", text)
	}
	if w := r.call("POST", "/damage/ack?until=x", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "INVALID_UNTIL") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.call("GET", "/damage/ack", ""); w.Code != 405 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := r.must("POST", "/damage/ack?until=1", ""); !strings.Contains(text, `"findings":[]`) || r.damageOf() == nil {
		t.Errorf("acknowledged what nobody saw: %s", text)
	}
	if text := r.must("POST", "/damage/ack", ""); !strings.Contains(text, `"kind":"unknown_directory"`) {
		t.Errorf("acknowledged: %s", text)
	}
	if d := r.damageOf(); d != nil {
		t.Errorf("damage is %+v", d)
	}
}

func TestDirectoryIsAdoptedUnderAFreeNameOnly(t *testing.T) {
	r := startDamaged(t)
	r.must("POST", "/topic/create?topic=orders", "")
	for target, want := range map[string]string{
		"/topic/adopt": "400 MISSING_ARG_DIRECTORY",
		"/topic/adopt?directory=" + strangeDirectory + "&topic=a%20b":         "400 INVALID_TOPIC",
		"/topic/adopt?directory=" + strangeDirectory + "&topic=x%23ephemeral": "400 INVALID_TOPIC",
		"/topic/adopt?directory=..":                                           "404 DIRECTORY_NOT_FOUND",
		"/topic/adopt?directory=" + strangeDirectory:                          "409 TOPIC_EXISTS",
	} {
		if w := r.call("POST", target, ""); !strings.HasPrefix(want, w.Result().Status[:3]) || !strings.Contains(w.Body.String(), want[4:]) {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
	if text := r.must("POST", "/topic/adopt?directory="+strangeDirectory+"&topic=orders-of-yore", ""); !strings.Contains(text, `"topic":"orders-of-yore"`) {
		t.Errorf("adopted: %s", text)
	}
	r.must("POST", "/topic/pause?topic=orders-of-yore", "")
	if d := r.damageOf(); d != nil {
		t.Errorf("damage is %+v", d)
	}
}

func TestDirectoryWithSegmentsOfAnotherTopicIsRefusedWithItsID(t *testing.T) {
	var id uint64
	r := startAfter(t, func(b *broker.Broker) {
		other, err := b.Topic("other")
		if err != nil {
			t.Fatal(err)
		}
		id = other.Incarnation()
		var batch diskqueue.Batch
		batch.Reset()
		batch.Add(&message.Meta{Timestamp: 1}, []byte("x"))
		if err := other.Publish(&batch); err != nil {
			t.Fatal(err)
		}
	}, func(fs vfs.FS, topics string) error {
		return fs.Rename(filepath.Join(topics, fmt.Sprintf("other-%016x", id)), filepath.Join(topics, strangeDirectory))
	})
	w := r.call("POST", "/topic/adopt?directory="+strangeDirectory, "")
	if want := fmt.Sprintf("these segments are of the topic with id %016x", id); w.Code != 409 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s, want %s", w.Code, w.Body, want)
	}
}

func TestTopicThatCannotBeOpenedIsRefusedWithTheReason(t *testing.T) {
	directory := ""
	r := startAfter(t, func(b *broker.Broker) {
		bad, err := b.Topic("bad")
		if err != nil {
			t.Fatal(err)
		}
		directory = fmt.Sprintf("bad-%016x", bad.Incarnation())
	}, func(fs vfs.FS, topics string) error { // a file where the directory belongs
		f, err := fs.Create(filepath.Join(topics, directory))
		if err != nil {
			return err
		}
		return f.Close()
	})
	const why = "topic bad cannot be opened: not a directory"
	for _, target := range []string{
		"/pub?topic=bad", "/topic/create?topic=bad", "/topic/pause?topic=bad", "/topic/empty?topic=bad", "/channel/create?topic=bad&channel=c",
	} {
		if w := r.call("POST", target, "x"); w.Code != 503 || !strings.Contains(w.Body.String(), why) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	r.connect("PUB bad\n\x00\x00\x00\x01x").ExpectError("E_PUB_FAILED PUB failed " + why)
	r.connect("SUB bad c\n").ExpectError("E_SUB_FAILED SUB failed " + why)
	if d := r.damageOf(); d == nil || d.Findings[0].Kind != broker.Unopenable {
		t.Errorf("damage is %+v", d)
	}
	r.must("POST", "/topic/delete?topic=bad", "")
	r.must("POST", "/pub?topic=bad", "of the successor")
	if d := r.damageOf(); d != nil {
		t.Errorf("damage is %+v", d)
	}
}

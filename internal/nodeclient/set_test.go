package nodeclient_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"qmq/cluster"
	"qmq/internal/apiclient"
	"qmq/internal/nodeclient"
)

// fill gives everything in a value something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("word")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	default:
		panic(v.Kind())
	}
}

// TestSetIsReadAsMembersTellIt: whatever is read of a member's answer is in it.
func TestSetIsReadAsMembersTellIt(t *testing.T) {
	var told cluster.Status
	fill(reflect.ValueOf(&told).Elem())
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	var read nodeclient.Set
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	var look func(path string, v reflect.Value)
	look = func(path string, v reflect.Value) {
		switch {
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				look(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))
			}
		case v.Kind() == reflect.Slice && v.Len() == 1:
			look(path, v.Index(0))
		case v.IsZero():
			t.Errorf("members do not tell %s", path)
		}
	}
	look("", reflect.ValueOf(read))
}

func TestNodeWithoutASetAndRefusals(t *testing.T) {
	for status, want := range map[int]string{200: "word", 404: "none", 403: "none", 401: "none", 500: "error"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
			w.WriteHeader(status)
			fmt.Fprint(w, `{"state":"word"}`)
		}))
		c := nodeclient.New(apiclient.New(apiclient.Options{ConnectTimeout: time.Minute, RequestTimeout: time.Minute}))
		set, err := c.Set(t.Context(), s.URL)
		got := "none"
		switch {
		case err != nil:
			got = "error"
		case set != nil:
			got = set.State
		}
		if got != want {
			t.Errorf("%d is %s (%v), want %s", status, got, err, want)
		}
		s.Close()
	}
}

func TestRoleForAReplicatedTopicIsRead(t *testing.T) {
	var d nodeclient.Decoder
	stats, err := d.Decode([]byte(`{"version":"2.0.0","topics":[{"topic_name":"t","replica":{"role":"leader","shard":3,"leader":"a:4153","term":5,"applied":9,"lag":2}},{"topic_name":"u"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (nodeclient.Replica{Role: "leader", Leader: "a:4153", Shard: 3, Term: 5, Lag: 2}); stats.Topics[0].Replica != want {
		t.Errorf("got %+v, want %+v", stats.Topics[0].Replica, want)
	}
	if stats.Topics[1].Replica.Role != "" {
		t.Error("a topic that is not replicated has a role")
	}
}

// Nobody is told the ports of a connection that the kernel ended.
func TestFailuresOfConnectionsAreSaidInWords(t *testing.T) {
	for failure, want := range map[string]string{
		"": "",
		"control: read tcp 127.0.0.1:20353->127.0.0.1:57822: read: connection reset by peer": "its connection ended",
		"connect: connection refused": "nobody listens there",
		"the secrets differ":          "the secrets differ",
	} {
		if got := nodeclient.FailureInWords(failure); got != want {
			t.Errorf("%q: %q, want %q", failure, got, want)
		}
	}
}

package api

import (
	"net/http"
	"strings"
	"testing"
)

func TestDeferredMessageIsCancelledWhereNobodyGotIt(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=a", "")
	r.must("POST", "/channel/create?topic=t&channel=b", "")
	one := publishedIDs(t, r.must("POST", "/pub?topic=t&ids=true&defer=600000", "x"))[0]
	two := publishedIDs(t, r.must("POST", "/pub?topic=t&ids=true", "y"))[0]
	if a := r.sub("topic=t&channel=a"); a.Messages[0].ID != two {
		t.Fatalf("%+v", a)
	}
	if got, want := r.must("POST", "/message/cancel?topic=t&id="+one, ""), `{"channels":[{"channel":"a","result":"cancelled"},{"channel":"b","result":"cancelled"}],"id":"`+one+`","waiting":false}`; got != want {
		t.Error(got)
	}
	if got := r.must("POST", "/message/cancel?topic=t&id="+two, ""); !strings.Contains(got, `[{"channel":"a","result":"delivered"},{"channel":"b","result":"cancelled"}]`) {
		t.Error(got)
	}
	if w := r.call("POST", "/message/cancel?topic=t&id="+two, ""); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `[{"channel":"a","result":"delivered"},{"channel":"b","result":"not held"}]`) {
		t.Error(w.Code, w.Body)
	}
	r.must("POST", "/req?topic=t&channel=a&defer=600000&id="+two, "")
	if w := r.call("POST", "/message/cancel?topic=t&id="+two, ""); w.Code != http.StatusConflict {
		t.Error("one that was delivered once:", w.Code, w.Body)
	}
	if w := r.call("POST", "/message/cancel?topic=t&id="+one, ""); w.Code != http.StatusNotFound {
		t.Error(w.Code, w.Body)
	}
	for channel, deferred := range map[string]int{"a": 1, "b": 0} {
		if s := r.channelStats("t", channel); s.Deferred != deferred || s.Depth != 0 || s.InFlight != 0 {
			t.Errorf("%s: %+v", channel, s)
		}
	}
}

func TestMessageThatIsInNoChannelYetIsCancelled(t *testing.T) {
	r := start(t)
	ids := publishedIDs(t, r.must("POST", "/mpub?topic=t&ids=true", "x\ny"))
	if got := r.must("POST", "/message/cancel?topic=t&id="+ids[0], ""); got != `{"channels":[],"id":"`+ids[0]+`","waiting":true}` {
		t.Error(got)
	}
	if a := r.sub("topic=t&channel=late&max=5"); len(a.Messages) != 1 || a.Messages[0].ID != ids[1] {
		t.Errorf("%+v", a)
	}
}

func TestRefusalsOfCancelling(t *testing.T) {
	r := start(t)
	for target, want := range map[string]int{
		"/message/cancel": 400, "/message/cancel?topic=t": 400, "/message/cancel?topic=t&id=x": 400,
		"/message/cancel?topic=t&id=0000000000000000": 404,
	} {
		if w := r.call("POST", target, ""); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

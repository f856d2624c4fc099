package address

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestViewsAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]View{
		"10.0.0.0/8=node.example":            {"10.0.0.0/8", "node.example", 0, 0},
		"10.1.2.3=node.example:5150":         {"10.1.2.3", "node.example", 5150, 0},
		"@127.0.0.1=127.0.0.1:4250:4251":     {"@127.0.0.1", "127.0.0.1", 4250, 4251},
		"fd00::/8=[fd00::1]:4250:4251":       {"fd00::/8", "fd00::1", 4250, 4251},
		"@[::1]=[::1]":                       {"@[::1]", "::1", 0, 0},
		"@lookup.example=node-1.outside:443": {"@lookup.example", "node-1.outside", 443, 0},
	} {
		if got, err := ParseView(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestViewsThatMakeNoSenseAreRefused(t *testing.T) {
	for text, why := range map[string]string{
		"":                          "no = in",
		"node.example":              "no = in",
		"=node.example":             "invalid network or host",
		"@=node.example":            "invalid network or host",
		"@a/b=node.example":         "invalid network or host",
		"somewhere=node.example":    "invalid network or host",
		"10.0.0.0/33=node.example":  "invalid network or host",
		"fe80::1%eth0=node.example": "invalid network or host",
		"10.0.0.0/8=":               "invalid address",
		"10.0.0.0/8=http://a":       "invalid port",
		"10.0.0.0/8=a/b":            "invalid address",
		"10.0.0.0/8=::1":            "invalid port",
		"10.0.0.0/8=a:":             "invalid port",
		"10.0.0.0/8=a:0":            "invalid port",
		"10.0.0.0/8=a:65536":        "invalid port",
		"10.0.0.0/8=a:1:x":          "invalid port",
		"10.0.0.0/8=a:1:2:3":        "invalid ports",
		"10.0.0.0/8=a:1:2:":         "invalid ports",
		"10.0.0.0/8=[::1]4150":      "invalid ports",
	} {
		if v, err := ParseView(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s is %+v, %v, want %s", text, v, err, why)
		}
	}
}

func TestViewIsForThoseWhoAskFromANetworkOrCallTheDirectoryByAName(t *testing.T) {
	for _, test := range []struct {
		from, remote, host string
		want               bool
	}{
		{"10.0.0.0/8", "10.1.2.3:555", "lookup:4161", true},
		{"10.0.0.0/8", "[::ffff:10.1.2.3]:555", "lookup:4161", true},
		{"10.0.0.0/8", "11.1.2.3:555", "10.0.0.1:4161", false},
		{"10.1.2.3", "10.1.2.3:555", "lookup", true},
		{"10.1.2.3", "10.1.2.4:555", "lookup", false},
		{"fe80::/10", "[fe80::1%eth0]:555", "lookup", true},
		{"0.0.0.0/0", "@", "lookup", false}, // a unix socket
		{"@127.0.0.1", "172.18.0.1:555", "127.0.0.1:4161", true},
		{"@127.0.0.1", "127.0.0.1:555", "lookup:4161", false},
		{"@127.0.0.1", "172.18.0.1:555", "127.0.0.1", true},
		{"@localhost", "172.18.0.1:555", "LocalHost.:4161", true},
		{"@[::1]", "172.18.0.1:555", "[::1]:4161", true},
		{"@::1", "172.18.0.1:555", "[0:0::1]", true},
	} {
		r := httptest.NewRequest("GET", "/lookup?topic=t", nil)
		r.RemoteAddr, r.Host = test.remote, test.host
		v := View{From: test.from, Host: "a"}
		if got := v.Matches(AskerOf(r)); got != test.want {
			t.Errorf("%s for %s, who asks %s: %t", test.from, test.remote, test.host, got)
		}
	}
}

func TestNobodyInParticularHasNoView(t *testing.T) {
	for _, from := range []string{"0.0.0.0/0", "::/0", "@lookup"} {
		if v := (View{From: from, Host: "a"}); v.Matches(Asker{}) {
			t.Errorf("%s is for nobody", from)
		}
	}
}

func FuzzParseView(f *testing.F) {
	for _, text := range []string{"10.0.0.0/8=a:1:2", "@[::1]=[::1]:1", "=", "@=[", "a=]:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseView(text)
		if err == nil && (v.Impossible() != "" || !ValidHost(v.Host)) {
			t.Errorf("%q is %+v", text, v)
		}
	})
}

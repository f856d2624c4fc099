package api

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qmq/internal/httpapi"
)

func TestPublishWithAMistypedParameterIsRefused(t *testing.T) {
	r := start(t)
	refused := map[string]string{
		"efer": "defer", "dfer": "defer", "deferr": "defer", "de_fer": "defer", "Defer": "defer", "DEFER": "defer", "edfer": "defer", "differ": "defer", "defer_ms": "defer",
		"inary": "binary", "Binary": "binary", "bianry": "binary", "bin": "binary",
		"ttls": "ttl", "TTL": "ttl", "ttl_ms": "ttl", "keys": "key", "kye": "key", "Key": "key", "isd": "ids", "IDs": "ids",
		"priorty": "priority", "prioritiy": "priority", "prio": "priority",
		"dedupid": "dedup_id", "dedup-id": "dedup_id", "DedupID": "dedup_id", "dedup": "dedup_id", "dedupe_id": "dedup_id", "dedpuid": "dedup_id",
	}
	for path, known := range map[string][]string{"/pub": pubParameters.known, "/mpub": mpubParameters.known} {
		for name, meant := range refused {
			w := r.call("POST", path+"?topic=t&"+name+"=1", "x")
			why := fmt.Sprintf(`%s has no parameter \"%s\"`, path, name)
			if slices.Contains(known, meant) {
				why += "; did you mean " + meant + "?"
			}
			want := `{"known":["` + strings.Join(known, `","`) + `"],"message":"UNKNOWN_PARAMETER","why":"` + why + `"}`
			if w.Code != 400 || w.Body.String() != want {
				t.Errorf("%s %s: %d %s, want %s", path, name, w.Code, w.Body, want)
			}
		}
	}
	if len(r.broker.Topics()) != 0 {
		t.Error("a refused publish has made its topic")
	}
	for _, name := range []string{"", "dr", "deferral", "derfe", "binaries", "keyed", "x", "_", "id", "ID", "_id", "idx", "uid", "bids", "ke", "tt", "ts", "channel", "format", "access_token", "timestamp", "delay"} {
		r.must("POST", "/pub?topic=t&"+name+"=1", "x")
		r.must("POST", "/mpub?topic=t&"+name+"=1", "x")
	}
	r.must("POST", "/mpub?topic=t&defer=1", "x")
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "&%d=", i)
	}
	r.must("POST", "/pub?topic=t&prio=1"+many.String(), "x")
	r.must("POST", "/pub?topic=t&binary=1", "x")
}

// alone are the routes that NSQ has none of; what others do not know they ignore.
var alone = []string{
	"/sub", "/fin", "/req", "/touch", "/topic/adopt", "/damage/ack", "/channel/rewind", "/channel/peek", "/channel/move", "/topic/peek", "/message/body",
	"/message/requeue", "/message/finish", "/message/republish", "/message/cancel", "/client/close", "/deadletter/list", "/deadletter/putback",
	"/topic/config", "/channel/config", "/drain", "/undrain", "/cluster", "/cluster/backup", "/cluster/balance", "/cluster/move", "/cluster/add", "/cluster/adopt", "/cluster/remove",
}

// TestUnknownParametersAreRefusedWhereNoClientOfNSQSendsThem, and elsewhere where they are
// nearly called as one of Q's.
func TestUnknownParametersAreRefusedWhereNoClientOfNSQSendsThem(t *testing.T) {
	r := start(t, func(o *options) { o.Cluster, o.Drain = untouched{t}, untouched{t} })
	refuses := func(method, target string) bool {
		w := r.call(method, target, "x")
		return w.Code == 400 && strings.Contains(w.Body.String(), `"message":"UNKNOWN_PARAMETER"`) && strings.Contains(w.Body.String(), `"known":[`)
	}
	seen := 0
	for _, route := range r.http.routes().(*httpapi.Router).Routes() {
		if strings.HasPrefix(route.Path, "/debug") {
			continue
		}
		is := slices.Contains(alone, route.Path)
		if is {
			seen++
		}
		if got := refuses(route.Method, route.Path+"?topic=t&channel=c&xyzzy=1"); got != is {
			t.Errorf("%s %s: refused is %v", route.Method, route.Path, got)
		}
	}
	if seen < len(alone) {
		t.Errorf("%d of %d are there", seen, len(alone))
	}
	for target, is := range map[string]bool{
		"/topic/create?topic=t&replicate=false": true, "/topic/create?topic=t&Replicated=false": true, "/topic/delete?topic=t&everywere=true": true,
		"/channel/create?topic=t&channel=c&form=first": true, "/channel/create?topic=t&channel=c&from_=first": true, "/channel/create?topic=t&channel=c&untill=last": true,
		"/topic/create?topic=t&name=x": false, "/channel/create?topic=t&channel=c&format=json": false,
	} {
		if refuses("POST", target) != is {
			t.Errorf("%s: refused is %v", target, !is)
		}
	}
	if !refuses("GET", "/stats?include_confg=true") || refuses("GET", "/stats?include_client=true") {
		t.Error("/stats")
	}
}

// nsqsCodes are refusals of NSQ, which have no more than their code.
var nsqsCodes = []string{"MSG_EMPTY", "MISSING_ARG_TOPIC", "INVALID_TOPIC"}

// TestRefusalsSayWhatIsAllowed: one of Q's own says more than that a value is none.
func TestRefusalsSayWhatIsAllowed(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	look := func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		callee, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || callee.Sel.Name != "Bad" {
			return true
		}
		if text, ok := call.Args[0].(*ast.BasicLit); ok {
			code, _ := strconv.Unquote(text.Value)
			if found++; !slices.Contains(nsqsCodes, code) && !strings.Contains(code, ": ") {
				t.Errorf("%s says nothing of what is allowed", code)
			}
		}
		return true
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	if found == 0 {
		t.Error("no refusal is found")
	}
	r := start(t)
	for target, want := range map[string]string{
		"POST /pub?topic=t&defer=x":                       `{"allowed":"0 to 3600000 ms","message":"INVALID_DEFER"}`,
		"POST /pub?topic=t&ttl=0":                         `{"allowed":"1 to 315360000000 ms","message":"INVALID_TTL"}`,
		"POST /message/cancel?topic=t&id=1":               `{"allowed":"16 hexadecimal characters","message":"INVALID_ARG_ID"}`,
		"GET /topic/peek?topic=t&limit=0":                 `{"allowed":"1 to 100","message":"INVALID_LIMIT"}`,
		"GET /topic/peek?topic=t&from=-1h":                `{"allowed":"the number of a message; for a time there is since","message":"INVALID_FROM"}`,
		"POST /client/close":                              `{"allowed":"the remote_address of a client, as /stats shows it","message":"MISSING_ARG_REMOTE_ADDRESS"}`,
		"POST /channel/move?topic=t&channel=c&to=t":       `{"allowed":"another topic: a name is up to 64 letters, digits, '.', '_' or '-', and may end in #ephemeral","message":"INVALID_ARG_TO"}`,
		"POST /channel/rewind?topic=t&channel=c&to=-7d":   `{"allowed":"first, last, a time (RFC 3339) that is not in the future, or one before now such as -1h30m, or the number of a message","message":"INVALID_TO","why":"\"-7d\" is no place in the log"}`,
		"POST /channel/rewind?topic=t&channel=c&from=-7d": `{"known":["topic","channel","to"],"message":"UNKNOWN_PARAMETER","why":"/channel/rewind has no parameter \"from\""}`,
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := r.call(method, path, "x"); w.Code != http.StatusBadRequest || w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
}

// A word that is neither yes nor no is refused, and nothing has happened: it would be taken for
// the one that was not meant.
func TestWhatIsNeitherYesNorNoIsRefused(t *testing.T) {
	r := start(t)
	for _, target := range []string{"/topic/create?topic=t&replicated=1", "/channel/create?topic=t&channel=c&tail=0"} {
		if w := r.call("POST", target, ""); w.Code != 200 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	for target, parameter := range map[string]string{
		"/topic/create?topic=other&replicated=no":                                             "REPLICATED",
		"/topic/delete?topic=t&everywhere=yes":                                                "EVERYWHERE",
		"/channel/create?topic=t&channel=other&tail":                                          "TAIL",
		"/deadletter/putback?topic=t&all=TRUE":                                                "ALL",
		"/message/republish?topic=t&channel=c&id=0123456789abcdef&to=elsewhere&finish=please": "FINISH",
	} {
		w := r.call("POST", target, "")
		if want := `{"allowed":"true or false","message":"INVALID_ARG_` + parameter + `"}`; w.Code != 400 || w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
	for target, want := range map[string]int{"/topic/peek?topic=t": 200, "/topic/peek?topic=other": 404, "/channel/peek?topic=t&channel=other": 404} {
		if w := r.call("GET", target, ""); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

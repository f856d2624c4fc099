package api

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestPublishWithAMistypedParameterIsRefused(t *testing.T) {
	var log bytes.Buffer
	r := start(t, func(o *options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	refused := []string{
		"efer", "dfer", "defe", "deferr", "xdefer", "de_fer", "Defer", "defar", "defre", "edfer", "dfeer",
		"inary", "bnary", "binar", "binaryy", "binnary", "Binary", "binari", "bianry", "ibnary",
		"ttls", "tt", "tttl", "tl", "keys", "ke", "Key", "priorty", "prioritiy", "dedupid", "dedup-id",
	}
	for _, name := range refused {
		for path, known := range map[string]string{
			"/pub": `["topic","defer","ttl","key","priority","dedup_id","ids"]`, "/mpub": `["topic","binary","ttl","key","priority","ids"]`,
		} {
			w := r.call("POST", path+"?topic=t&"+name+"=1", "x")
			if want := `{"known":` + known + `,"message":"UNKNOWN_PARAMETER"}`; w.Code != 400 || w.Body.String() != want {
				t.Errorf("%s %s: %d %s, want %s", path, name, w.Code, w.Body, want)
			}
			if line := "parameter=" + name + ` known="` + strings.NewReplacer(",", " ", `"`, "").Replace(known) + `"`; !strings.Contains(log.String(), line) {
				t.Errorf("%s %s: %s is not in the log", path, name, line)
			}
		}
	}
	if len(r.broker.Topics()) != 0 {
		t.Error("a refused publish has made its topic")
	}
	ignored := []string{
		"", "dr", "deferral", "differ", "DEFER", "defer_ms", "derfe", "deffrr", "bin", "binaries", "TTL", "keyed", "dedup", "prio", "x", "channel",
	}
	for _, name := range ignored {
		r.must("POST", "/pub?topic=t&"+name+"=1", "x")
		r.must("POST", "/mpub?topic=t&"+name+"=1", "x")
	}
	r.must("POST", "/mpub?topic=t&defer=1", "x")
	r.must("POST", "/pub?topic=t&binary=1", "x")
}

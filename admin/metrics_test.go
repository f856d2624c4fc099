package admin

import (
	"strings"
	"testing"
)

func TestAttentionIsAMetric(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 1))
	a.set(func(n *fakeNode) { n.stats["health"] = `NOK - "disk"` })
	_, base := startServer(t, Options{Nodes: []string{a.address()}})
	get(t, base+"/api/q/overview")
	r := get(t, base+"/metrics")
	same(t, "type", r.head.Get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
	for _, line := range []string{
		"# TYPE qadmin_attention gauge\n",
		`qadmin_attention{rule="unhealthy",level="crit",topic="",channel="",node="` + a.address() + `",lookupd=""} 1` + "\n",
		`qadmin_attention_lines{level="crit"} 1` + "\n", `qadmin_attention_lines{level="warn"} 0` + "\n", "qadmin_nodes 1\n", "qadmin_nodes_answering 1\n",
	} {
		if !strings.Contains(r.body, line) {
			t.Errorf("%q is not in\n%s", line, r.body)
		}
	}
	same(t, "a label", label("a\"\\\n"), `"a\"\\\n"`)
}

package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"qmq/admin/cluster"
	"qmq/internal/httpapi"
)

// metrics is GET /metrics: what needs attention, in the text format of Prometheus. Where
// people sign in it is for them, and for callers on this machine.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if s.access.login != nil && !s.access.who(r).in && !httpapi.Local(r) {
		s.refuse(w, r, &failure{Status: http.StatusUnauthorized, Code: "LOGIN_REQUIRED", Text: "Sign in first, or ask from qadmin's own machine."})
		return
	}
	s.collector.firstUpdate(r.Context())
	var bar cluster.Bar
	var open []cluster.Alert
	s.collector.read(func(c *cluster.Cluster) { bar, open = c.Bar(s.o.Cluster), c.OpenAlerts() })
	var b strings.Builder
	gauge := func(name, help string, samples ...string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %[1]s gauge\n", name, help)
		for _, sample := range samples {
			b.WriteString(name + sample + "\n")
		}
	}
	lines := map[cluster.Level]int{cluster.LevelCrit: 0, cluster.LevelWarn: 0}
	var alerts []string
	for i := range open {
		l := &open[i]
		lines[l.Level]++
		alerts = append(alerts, fmt.Sprintf(`{rule=%s,level=%s,topic=%s,channel=%s,node=%s,lookupd=%s} 1`,
			label(l.Rule), label(string(l.Level)), label(l.Topic), label(l.Channel), label(l.Node), label(l.Lookupd)))
	}
	slices.Sort(alerts)
	gauge("qadmin_attention", "1 for each line of attention that is open.", slices.Compact(alerts)...)
	gauge("qadmin_attention_lines", "Open lines of attention.", fmt.Sprintf(`{level="crit"} %d`, lines[cluster.LevelCrit]), fmt.Sprintf(`{level="warn"} %d`, lines[cluster.LevelWarn]))
	gauge("qadmin_nodes", "Nodes that are known.", fmt.Sprintf(" %d", bar.Nodes))
	gauge("qadmin_nodes_answering", "Nodes that answer.", fmt.Sprintf(" %d", bar.Answering))
	gauge("qadmin_lookupds", "Directories that are asked.", fmt.Sprintf(" %d", bar.Lookupds))
	gauge("qadmin_lookupds_answering", "Directories that answer.", fmt.Sprintf(" %d", bar.LookupdsAnswering))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write([]byte(b.String()))
}

// label is the value of a label.
func label(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(text) + `"`
}

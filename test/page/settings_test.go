package page

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"qmq/test/process"
)

// inForce waits until a node has a setting of a topic, as JSON.
func (d *daemon) inForce(t testing.TB, path, name, value string) {
	t.Helper()
	awaitJSON(t, "http://"+d.HTTP+path, func(answer struct{ Config map[string]json.RawMessage }) bool {
		return string(answer.Config[name]) == value
	})
}

// configure sets settings of a topic or channel on one node.
func (d *daemon) configure(t testing.TB, path, settings string) {
	t.Helper()
	if _, err := process.Ask(t.Context(), http.DefaultClient, http.MethodPut, d.HTTP, path, settings); err != nil {
		t.Fatal(err)
	}
}

// settings are shown, changed on all nodes, and reset; bad values are refused in the
// node's words, and nodes that differ are named.
func settings(b *tab, one, other *daemon) {
	for _, n := range []*daemon{one, other} {
		n.post(b.t, "/topic/create?topic=kept", "")
		n.post(b.t, "/channel/create?topic=kept&channel=c", "")
	}
	b.open("topics", "topics")
	b.shows("#topics-table", "kept")
	b.open("topics/kept", "topic")
	b.until(`document.querySelectorAll('#nodes-table tbody tr').length === 2`)
	const age = "#config-table tr[data-row=max_age] "
	b.shows(age+"[data-column=value]", "none")
	b.shows(age+"[data-column=from]", "default")
	b.click("[data-setting=max_age]")
	b.gone("#change-reset") // nothing is set
	b.shows("#change-allowed", `a duration from "1ms"`)
	b.write("#change-value", "soon")
	b.click("#change-go")
	b.shows("#change-problem", `max_age must be "0s" (none), or a duration from "1ms" to "87600h" such as "30s", not "soon"; in force is "0s"`)
	b.write("#change-value", "36h")
	b.click("#change-go")
	b.gone("#change")
	b.shows(age+"[data-column=value]", "36h")
	b.shows(age+"[data-column=from]", "set here")
	for _, n := range []*daemon{one, other} {
		n.inForce(b.t, "/topic/config?topic=kept", "max_age", `"36h"`)
	}
	other.configure(b.t, "/topic/config?topic=kept", `{"max_age": "1h", "max_bytes": "10GiB"}`)
	b.click("[data-action=config-again]")
	b.shows(age+"[data-column=value]", one.port())
	b.shows(age+"[data-column=value]", "1h on ")
	b.shows(age+"[data-column=value]", other.port())
	b.shows("#config-table tr[data-row=max_bytes] [data-column=value]", "10.0 GiB on ")
	b.click("[data-setting=max_age]")
	b.click("#change-reset")
	b.gone("#change")
	b.shows(age+"[data-column=from]", "default")
	for _, n := range []*daemon{one, other} {
		n.inForce(b.t, "/topic/config?topic=kept", "max_age", `"0s"`)
	}
	b.click("[data-setting=overflow]")
	b.do("choose", evaluate(`(e => { e.value = 'drop-oldest'; e.dispatchEvent(new Event('change')) })(document.querySelector('select#change-value'))`))
	b.click("#change-go")
	b.shows("#config-table tr[data-row=overflow] [data-column=value]", "drop-oldest")
	b.open("topics/kept/c", "channel")
	b.click("[data-setting=max_in_flight]")
	b.write("#change-value", "7")
	b.click("#change-go")
	b.shows("#account", "Settings of kept / c: max_in_flight = 7: 2 of 2 nodes")
	one.inForce(b.t, "/channel/config?topic=kept&channel=c", "max_in_flight", "7")
	b.open("activity", "activity")
	b.shows("#activity-table", "changed settings")
	b.shows("#activity-table", `max_age = "36h": 2 of 2 nodes`)
	b.shows("#activity-table", "max_age reset: 2 of 2 nodes")
	b.shows("#activity-table", `max_age = "soon": 0 of 2 nodes`)
}

// patterns of a node's TOML file are named, and count again after a reset.
func patterns(t *testing.T, r *rig) {
	file := filepath.Join(t.TempDir(), "qd.toml")
	if err := os.WriteFile(file, []byte("[topic.\"ord*\"]\nmax_age = \"72h\"\n\n[channel.\"*/bill*\"]\nmax_in_flight = 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := r.daemon("qd", "--data-path="+t.TempDir(), "--config="+file)
	n.Start(t)
	n.post(t, "/topic/create?topic=orders", "")
	n.post(t, "/channel/create?topic=orders&channel=billing", "")
	b := newTab(t, r.startAdmin("--nsqd-http-address="+n.HTTP).base())
	b.open("topics/orders/billing", "channel")
	b.shows("#config-table tr[data-row=max_in_flight] [data-column=from]", "pattern */bill*")
	b.open("topics/orders", "topic")
	const age = "#config-table tr[data-row=max_age] "
	b.shows(age+"[data-column=from]", "pattern ord*")
	b.click("[data-setting=max_age]")
	b.write("#change-value", "1h")
	b.click("#change-go")
	b.shows(age+"[data-column=from]", "set here")
	b.click("[data-setting=max_age]")
	b.click("#change-reset")
	b.shows(age+"[data-column=from]", "pattern ord*")
	b.shows(age+"[data-column=value]", "72h")
}

// setSettings changes a replicated topic's settings once, for all members.
func setSettings(b *tab, r *rig) {
	b.open("topics/orders", "topic")
	b.shows("#config-table tr[data-row=max_age] [data-column=from]", "default")
	b.click("[data-setting=max_age]")
	b.shows("#change", "on 1 node")
	b.write("#change-value", "36h")
	b.click("#change-go")
	b.shows("#account", `max_age = "36h": 1 of 1 node`)
	for _, n := range r.nodes {
		n.inForce(b.t, "/topic/config?topic=orders", "max_age", `"36h"`)
	}
	b.click("[data-action=config-again]")
	b.shows("#config-table tr[data-row=max_age] [data-column=value]", "36h")
	b.until(`!document.querySelector('#config-table tr[data-row=max_age] .warn')`) // no member differs
}

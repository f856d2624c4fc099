package page

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/test/process"
)

// startSet starts three nodes that are a set of replicas.
func startSet(t *testing.T) *rig {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	peers := []string{process.Address(t), process.Address(t), process.Address(t)}
	slices.Sort(peers)
	var nodes []string
	for _, address := range peers {
		nodes = append(nodes, fmt.Sprintf("--https-address= --cluster-peers=%s --cluster-address=%s --cluster-secret-file=%s", strings.Join(peers, ","), address, secret))
	}
	r := startRig(t, nodes...)
	process.Eventually(t, "the set is there", func() bool {
		_, err := process.Ask(t.Context(), http.DefaultClient, http.MethodPost, r.nodes[0].HTTP, "/topic/create?topic=orders", "")
		return err == nil
	})
	return r
}

// aDozen is how many messages there are: more than a first try has.
const aDozen = 12

// TestSets looks at a set of replicas from its first message to the loss of a member.
func TestSets(t *testing.T) {
	t.Parallel()
	r := startSet(t)
	r.nodes[0].post(t, "/channel/create?topic=orders&channel=billing", "")
	r.nodes[1].post(t, "/mpub?topic=orders", strings.Repeat("a message\n", aDozen))
	b := newTab(t, r.admin.base())
	t.Run("MembersAndShardsAreSeen", func(t *testing.T) { setIsSeen(b.of(t)) })
	t.Run("ReplicatedTopicIsCountedOnce", func(t *testing.T) { countedOnce(b.of(t)) })
	t.Run("LeadersAreMovedAndBalanced", func(t *testing.T) { leadersMove(b.of(t)) })
	t.Run("MembersAreAddedAndRemovedWithCare", func(t *testing.T) { membersChange(b.of(t)) })
	t.Run("SettingsAreChangedOnceForAll", func(t *testing.T) { setSettings(b.of(t), r) })
	t.Run("ItIsAccessible", func(t *testing.T) { b.of(t).cleanAnywhere("sets", axe(t)) })
	t.Run("PhonesAndDark", func(t *testing.T) { setElsewhere(b.of(t)) })
	t.Run("MemberThatDiesIsNamed", func(t *testing.T) { memberDies(b.of(t), r.nodes[2]) })
}

// of is the tab for a part of a test.
func (b *tab) of(t *testing.T) *tab {
	part := &tab{t: t, ctx: b.ctx, base: b.base}
	return part
}

func setIsSeen(b *tab) {
	b.open("", "overview")
	b.click(".nav a[data-page=sets]")
	b.view("sets")
	b.shows("h1", "Set ")
	b.shows(".sub", "3 members, 3 answering; 13 of 13 shards led")
	b.until(`document.querySelectorAll('[id$=-members-table] tbody tr').length === 3`)
	b.until(`[...document.querySelectorAll('[id$=-members-table] [data-column=reached]')].filter(e => e.innerText === '2 of 2').length === 3`)
	b.until(`document.querySelectorAll('[id$=-shards-table] tbody tr').length === 13`)
	b.until(`document.querySelectorAll('[id$=-shards-table] .leads').length === 13`)
	b.gone("main .note-list")
	b.open("nodes", "nodes")
	b.shows("#nodes-table [data-column=replicas]", "leads ")
	b.click("#nodes-table tbody a")
	b.view("node")
	b.shows(".sub", "member of set ")
	b.press("gs")
	b.view("sets")
}

func countedOnce(b *tab) {
	b.open("topics/orders", "topic")
	b.shows(".sub", "Replicated in shard ")
	b.until(figure("channel_depth", "n === 12"))
	b.until(`document.querySelectorAll('#nodes-table tbody tr').length === 3`)
	b.until(`[...document.querySelectorAll('#nodes-table td[data-column=role]')].map(e => e.innerText).sort().join() === 'follower,follower,leads'`)
	b.until(`[...document.querySelectorAll('#nodes-table td[data-column=depth]')].map(e => e.innerText).sort().join() === '0,0,12'`)
	if n := value[int](b, `fetch('api/q/peek?topic=orders&channel=billing&limit=50').then(a => a.json()).then(a => a.messages.length)`); n != aDozen {
		b.t.Errorf("peek shows %d messages of a dozen", n)
	}
	b.open("topics", "topics")
	b.shows("#topics-table tr[data-row=orders] [data-column=depth]", "12")
	b.open("", "overview")
	b.until(figure("depth", "n === 12"))
}

func leadersMove(b *tab) {
	b.open("sets", "sets")
	b.click("[data-action=move-leader][data-shard='3']")
	b.shows("#move h2", "Move the leader of shard 3?")
	to := value[string](b, `document.querySelector('#move-to').selectedOptions[0].text`)
	b.click("#set-go")
	b.shows("#account", "Moved shard 3 to ")
	b.shows("[id$=-shards-table] tr[data-row='3'] [data-column=leader]", to)
	b.shows("[id$=-shards-table] tr[data-row='3'] [data-column=leader]", "moved")
	b.click("[data-action=balance]")
	b.shows("#balance", "No message is lost")
	b.click("#set-go")
	b.shows("#account", "Balancing all shards")
	b.until(`!document.querySelector("[id$=-shards-table] tr[data-row='3'] [data-column=leader]").innerText.includes('moved')`)
	b.open("activity", "activity")
	b.shows("#activity-table", "moved leader")
}

func membersChange(b *tab) {
	b.open("sets", "sets")
	b.click("[data-action=add-member]")
	b.write("#add-address", "nonsense")
	b.press("\r")
	b.shows("#add-member .problem", "host:port")
	b.press("\x1b")
	b.gone("#add-member")
	b.click("[data-action=remove-member]")
	b.shows("#confirm", "loses its vote")
	b.write("#confirm-name", "something else")
	b.press("\r")
	b.until(`document.querySelector('#confirm-go').disabled && document.querySelector('#confirm').open`)
	b.press("\x1b")
	b.gone("#confirm")
}

func setElsewhere(b *tab) {
	b.prefers("prefers-color-scheme", "dark")
	b.size(390, 844)
	b.open("sets", "sets")
	b.until(`document.querySelectorAll('[id$=-shards-table] .leads').length === 13`)
	b.fits(390)
	b.insight("[id$=-members-table]", 390)
	b.insight("[id$=-shards-table]", 390)
	b.open("topics/orders", "topic")
	b.shows("#nodes-table", "follower")
	b.fits(390)
	if short := value[float64](b, `(c => c.getBoundingClientRect().right - c.querySelector('tbody tr').getBoundingClientRect().right)(document.querySelector('#nodes-table'))`); short > 1 {
		b.t.Errorf("the lines of a table end %v px before its card", short)
	}
	b.size(1440, 900)
	b.prefers("prefers-color-scheme", "light")
}

func memberDies(b *tab, n *daemon) {
	n.Kill()
	b.open("sets", "sets")
	b.shows(".sub", "3 members, 2 answering; 13 of 13 shards led")
	b.shows("main .note-list", "No member has reached it")
	b.shows("tr.gone [data-column=state]", "gone")
	b.shows("[data-column=state] small", "no connection to ")
	b.size(390, 844)
	b.do("a failure that names addresses", evaluate(`document.querySelector('.note-list .why').textContent = '127.0.0.1:4153,'.repeat(20)`))
	b.fits(390)
	b.size(1440, 900)
	b.open("topics/orders", "topic")
	b.until(figure("channel_depth", "n === 12")) // whoever led it
	b.open("", "overview")
	b.shows("#attention", "one copy fewer")
	n.Start(b.t)
	b.open("sets", "sets")
	b.shows(".sub", "3 members, 3 answering; 13 of 13 shards led")
	b.gone("main .note-list")
}

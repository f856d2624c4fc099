package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/nsqio/go-nsq"
	"golang.org/x/crypto/bcrypt"
)

func otherBase(t *testing.T, r *rig) {
	d := r.startAdmin("--lookupd-http-address="+r.lookup.HTTP, "--base-path=/ops/queues")
	b := newTab(t, d.base()+"ops/queues/")
	b.open("", "overview")
	b.click("#busiest-table a[href$=orders]")
	b.view("topic")
	b.click("#channels-table tr[data-row=billing] a")
	b.view("channel")
	if at := value[string](b, `location.pathname`); at != "/ops/queues/topics/orders/billing" {
		t.Errorf("the channel is at %s", at)
	}
	b.do("reload", chromedp.Reload())
	b.view("channel")
	b.shows("#consumers-table", "billing-1")
	b.click(".nav a[data-page=nodes]")
	b.view("nodes")
	b.click("a.brand")
	b.view("overview")
}

func signingIn(t *testing.T, r *rig) {
	var users strings.Builder
	for _, u := range [][2]string{{"maria.keller", "admin"}, {"jon", "viewer"}} {
		hash, err := bcrypt.GenerateFromPassword([]byte("secret of "+u[0]), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&users, "%s:%s:%s\n", u[0], u[1], hash)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(users.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := r.startAdmin("--lookupd-http-address="+r.lookup.HTTP, "--users-file="+file)
	b := newTab(t, d.base())
	b.expect("401")
	b.expect("403")
	enter := func(user, password string) {
		t.Helper()
		b.write("#login-user", user)
		b.write("#login-password", password)
		b.click("#login-go")
	}
	b.open("topics/orders", "login")
	b.cleanAnywhere("sign-in", axe(t))
	enter("jon", "wrong")
	b.shows("#login-problem", "Wrong name or password.")
	enter("jon", "secret of jon")
	b.view("topic")
	b.shows("#channels-table", "billing")
	if n := value[int](b, `document.querySelectorAll('[data-action=pause], [data-action=empty], [data-action=delete], [data-action=change-setting], #publish').length`); n != 0 {
		t.Errorf("a viewer sees %d actions", n)
	}
	refusal := value[string](b, `fetch('api/q/act', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({action: 'pause_topic', topic: 'orders'})})
		.then(async a => a.status + ' ' + (await a.json()).text)`)
	if refusal != "403 Your role is viewer. An admin may do this." {
		t.Errorf("a viewer who acts anyway is told %q", refusal)
	}
	b.click("#who")
	b.shows(".menu", "Role viewer")
	b.click("#logout")
	b.until(`document.querySelector('#login')`)
	enter("maria.keller", "secret of maria.keller")
	b.view("topic")
	b.click(".title [data-action=pause]")
	b.shows("#account", "Paused orders: 2 of 2 nodes")
	b.click(".title [data-action=unpause]")
	b.shows("#account", "Unpaused orders: 2 of 2 nodes")
	b.open("activity", "activity")
	b.shows("#activity-table", "maria.keller")
	b.shows("#activity-table", "failed to sign in")
}

// What people with bad intentions, or with right-to-left names, may send.
var hostileTexts = []string{
	`<script>window.hacked=1</script>`, `<img src=x onerror=window.hacked=1>`, `"><svg onload=window.hacked=1>`, `' onmouseover='window.hacked=1`,
	"\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd", `javascript:window.hacked=1`, `{t:0}{{7*7}}${window.hacked=1}`,
}

func hostile(b *tab, r *rig) {
	t := b.t
	a := r.nodes[0]
	a.post(t, "/topic/create?topic=hostile", "")
	a.post(t, "/channel/create?topic=hostile&channel=c", "")
	for _, text := range hostileTexts {
		a.post(t, "/pub?topic=hostile", text)
		a.post(t, "/pub?topic=hostile", fmt.Sprintf(`{"html": %q, %q: 1}`, text, text))
	}
	a.post(t, "/pub?topic=hostile", strings.Repeat("x", 64<<10)+"tail")
	block := make(chan struct{})
	for _, text := range hostileTexts {
		consume(t, "hostile", "watched", func(c *nsq.Config) { c.ClientID, c.Hostname, c.UserAgent = text, text, text }, func(*nsq.Message) error { <-block; return nil }, a)
	}
	t.Cleanup(func() { close(block) }) // before the consumers stop
	awaitJSON(t, b.base+"api/q/names", func(names struct{ Topics [][]any }) bool {
		return strings.Contains(fmt.Sprint(names.Topics), "[hostile [c watched]]")
	})
	b.open("topics/hostile/watched", "channel")
	b.until(fmt.Sprintf(`document.querySelectorAll('#consumers-table tbody tr').length === %d`, len(hostileTexts)))
	b.shows("#consumers-table", hostileTexts[0])
	b.open("topics/hostile/c", "channel")
	b.click(".title [data-action=peek]")
	b.until(fmt.Sprintf(`document.querySelectorAll('[data-message]').length === %d`, 2*len(hostileTexts)+1))
	for i := range 2*len(hostileTexts) + 1 {
		b.do("choose", evaluate(fmt.Sprintf(`document.querySelectorAll('[data-message]')[%d].click()`, i)))
		for _, as := range []string{"json", "text", "hex"} {
			b.do("show", evaluate(fmt.Sprintf(`document.querySelector('[data-choice=as-%s]')?.click()`, as)))
		}
		b.until(`document.querySelector('#body[data-as=hex]')`)
	}
	b.shows(".reading", "Cut at 64.0 KiB of 65,540 bytes")
	b.notHacked()

	// A daemon may name its topics as it likes.
	stock := startStock(t, append(hostileTexts, strings.Repeat("long", 50))...)
	d := r.startAdmin("--nsqd-http-address="+stock, "--cluster-name="+hostileTexts[0])
	b = newTab(t, d.base())
	b.open("", "overview")
	b.shows("#busiest-table", hostileTexts[0])
	b.notHacked()
	for _, width := range []int64{1440, 390} {
		b.size(width, 900)
		for _, at := range [][2]string{{"topics", "topics"}, {"nodes", "nodes"}, {"counter", "counter"}, {"", "overview"}} {
			b.open(at[0], at[1])
			b.notHacked()
			b.fits(width)
		}
		if width == 1440 {
			continue
		}
		b.open("topics", "topics")
		for i := range hostileTexts {
			b.until(fmt.Sprintf(`document.querySelectorAll('#topics-table tbody a').length > %d`, i))
			b.do("go", evaluate(fmt.Sprintf(`document.querySelectorAll('#topics-table tbody a')[%d].click()`, i)))
			b.view("topic")
			b.fits(width)
			b.until(`document.querySelector('#channels-table tbody a')`) // the view comes before its data
			b.do("go", evaluate(`document.querySelector('#channels-table tbody a').click()`))
			b.view("channel")
			b.notHacked()
			b.fits(width)
			b.do("back", evaluate(`document.querySelector('.nav a[data-page=topics]').click()`))
			b.view("topics")
		}
	}
	if title := value[string](b, `document.title`); !strings.Contains(title, hostileTexts[0]) {
		t.Errorf("the title is %q", title)
	}
}

// notHacked checks that no script of others ran.
func (b *tab) notHacked() {
	b.t.Helper()
	if value[bool](b, `'hacked' in window || document.querySelector('main script, main img, [onerror], [onload], [onmouseover], a[href^="javascript:"]') !== null`) {
		b.t.Fatalf("something hostile runs on %s", b.at())
	}
}

func withoutPeek(t *testing.T, r *rig) {
	d := r.startAdmin("--nsqd-http-address=" + startStock(t, "events"))
	b := newTab(t, d.base())
	b.open("topics/events/c", "channel")
	b.shows("#messages", "nsqd 1.3.0 cannot show messages")
	b.click(".title [data-action=peek]")
	b.until(`document.querySelector('[data-action=peek-again]').innerText === 'Peek again'`)
	b.shows("#messages", "nsqd 1.3.0 cannot show messages")
	b.shows("#messages", "Nodes with qd 2.0.0 or later can.")
	b.open("topics", "topics")
	b.gone(".title #create-topic")
}

// startStock is a node as NSQ's are: it cannot show messages, and its topics may
// have any names.
func startStock(t testing.TB, topics ...string) (address string) {
	t.Helper()
	return startFake(t, "1.3.0", nil, topics...)
}

// startFake is a node of a version, with these topics and more to tell.
func startFake(t testing.TB, version string, more map[string]any, topics ...string) (address string) {
	t.Helper()
	var list []any
	for _, name := range topics {
		channel := map[string]any{"channel_name": "c", "depth": 7, "in_flight_count": 1, "message_count": 10, "client_count": 1, "clients": []any{
			map[string]any{"client_id": name, "hostname": name, "user_agent": name, "remote_address": name, "ready_count": 1, "in_flight_count": 1},
		}}
		list = append(list, map[string]any{"topic_name": name, "channels": []any{channel}, "message_count": 10, "message_bytes": 1000})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var answer any
		switch q.URL.Path {
		case "/stats":
			stats := map[string]any{"version": version, "health": "OK", "start_time": 1_700_000_000, "topics": list}
			maps.Copy(stats, more)
			answer = stats
		case "/info":
			_, port, _ := strings.Cut(q.Host, ":")
			number, _ := strconv.Atoi(port)
			answer = map[string]any{"version": version, "broadcast_address": "127.0.0.1", "hostname": topics[0], "tcp_port": 1, "http_port": number, "start_time": 1_700_000_000}
		default:
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]string{"message": "NOT_FOUND"}
		}
		_ = json.NewEncoder(w).Encode(answer) // whoever asked may have gone
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// damaged looks at a node that keeps the directory of an unknown topic.
func damaged(t *testing.T, r *rig) {
	data := t.TempDir()
	n := r.daemon("qd", "--data-path="+data)
	n.Start(t)
	n.Kill()
	if err := os.MkdirAll(filepath.Join(data, "topics", "orders-00000000000000ab"), 0o700); err != nil {
		t.Fatal(err)
	}
	n.Start(t)
	n.post(t, "/topic/create?topic=others", "")
	b := newTab(t, r.startAdmin("--nsqd-http-address="+n.HTTP).base())
	b.open("", "overview")
	b.shows("#attention", "The directory of an unknown topic is kept (orders)")
	b.shows("#nodes-table", "damaged")
	b.shows("#attention-card", "1 node run normally; 1 node has damage to acknowledge")
	b.click("#attention a")
	b.view("node")
	b.shows("#damage [data-finding=unknown_directory]", "orders-00000000000000ab")
	b.until(`!document.querySelector('#damage').innerText.includes('could not be read')`) // nothing is lost
	b.click("#acknowledge-damage")
	b.shows("#account", "Acknowledged the damage: 1 of 1 node")
	b.gone("#damage")
}

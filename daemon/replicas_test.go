package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/config"
	"qmq/test/process"
)

// startSet starts three members of a set in this process, and returns them with their
// addresses of HTTP once the set has leaders.
func startSet(t *testing.T, access ...string) (members []*running, web []string) {
	t.Helper()
	var peers []string
	for range 3 {
		peers = append(peers, process.Address(t))
	}
	for _, address := range peers {
		members = append(members, start(t, append([]string{
			"--data-path=" + privateDir(t), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=", "--broadcast-address=127.0.0.1",
			"--cluster-peers=" + strings.Join(peers, ","), "--cluster-address=" + address,
		}, access...)...))
	}
	for _, m := range members {
		_, address := m.untilListening()
		web = append(web, address)
	}
	for _, m := range members {
		var texts []string
		for shard := range 13 {
			texts = append(texts, fmt.Sprintf("a shard has a leader shard=%d ", shard))
		}
		m.linesInAnyOrder(texts...)
	}
	return members, web
}

func stopAll(members []*running) {
	for _, m := range members {
		m.stop()
	}
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Members that know one another, by either means, are a set; each takes publishes and
// shows the topic, and they stop in good order one after the other.
func TestNodesAreASetBySecretOrCertificate(t *testing.T) {
	pair := writePair(t, t.TempDir(), "members")
	for name, access := range map[string][]string{
		"secret":      {"--cluster-secret-file=" + secretFile(t, "the secret of the tests\n")},
		"certificate": {"--cluster-tls-cert=" + pair.cert, "--cluster-tls-key=" + pair.key, "--cluster-tls-ca=" + pair.cert},
	} {
		t.Run(name, func(t *testing.T) {
			members, web := startSet(t, access...)
			for _, address := range web {
				if answer := ask(t, "POST", address, "/pub?topic=orders", "an order"); answer != "OK" {
					t.Errorf("publish: %s", answer)
				}
			}
			for _, address := range web {
				if text := get(t, address, "/stats?format=json"); !strings.Contains(text, `"topic_name":"orders"`) || !strings.Contains(text, `"replica":{`) {
					t.Errorf("/stats: %s", text)
				}
				process.Eventually(t, "it is connected to all, and has all shards", func() bool {
					text := get(t, address, "/cluster")
					return strings.Count(text, `"connected":true`) == 3 && strings.Count(text, `"shard":`) == 13
				})
			}
			stopAll(members)
		})
	}
}

// askEach sends a request to each of them, and wants the status.
func askEach(t *testing.T, web []string, path string, status int) {
	t.Helper()
	for _, address := range web {
		var got string
		process.Eventually(t, path+" is answered by "+address, func() bool { // 503 says to ask again
			response, err := http.Post("http://"+address+path, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(response.Body)
			response.Body.Close()
			got = fmt.Sprintf("%s %s %v", response.Status, answer, err)
			if err == nil && response.StatusCode == status {
				got = ""
			}
			return response.StatusCode != http.StatusServiceUnavailable
		})
		if got != "" {
			t.Errorf("%s at %s: %s", path, address, got)
		}
	}
}

// knows tells whether a member shows a topic.
func knows(t *testing.T, address, topic string) bool {
	t.Helper()
	return strings.Contains(get(t, address, "/stats?format=json"), `"topic_name":"`+topic+`"`)
}

// Tools send a deletion to every node. At one of them it is a tombstone: the topic is
// hidden there until it is used there. At all of them it is the end of the topic.
func TestTopicIsHiddenAtOneMemberAndDeletedAtAll(t *testing.T) {
	members, web := startSet(t)
	defer stopAll(members)
	ask(t, "POST", web[0], "/pub?topic=orders", "an order")
	askEach(t, web[:1], "/topic/delete?topic=orders", http.StatusOK)
	if knows(t, web[0], "orders") {
		t.Error("it is not hidden at the member that was asked")
	}
	process.Eventually(t, "it is there at another member", func() bool { return knows(t, web[1], "orders") })
	ask(t, "POST", web[0], "/pub?topic=orders", "another order")
	if !knows(t, web[0], "orders") {
		t.Error("it is hidden at a member through which was published to it")
	}
	ask(t, "POST", web[1], "/channel/create?topic=orders&channel=work", "")
	askEach(t, web, "/channel/empty?topic=orders&channel=work", http.StatusOK)
	askEach(t, web, "/channel/delete?topic=orders&channel=work", http.StatusOK)
	askEach(t, web, "/topic/delete?topic=orders", http.StatusOK)
	process.Eventually(t, "it is gone everywhere", func() bool {
		return !knows(t, web[0], "orders") && !knows(t, web[1], "orders") && !knows(t, web[2], "orders")
	})
	process.Eventually(t, "a new one of its name is there", func() bool {
		response, err := http.Post("http://"+web[2]+"/pub?topic=orders", "", strings.NewReader("a new order"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK && knows(t, web[0], "orders")
	})
	askEach(t, web[1:2], "/topic/delete?topic=orders&everywhere=true", http.StatusOK)
	process.Eventually(t, "it is gone at once", func() bool { return !knows(t, web[0], "orders") && !knows(t, web[2], "orders") })
}

// A topic that a node has for itself alone stays local, on all members.
func TestTopicThatIsMadeLocalStaysLocal(t *testing.T) {
	members, web := startSet(t)
	defer stopAll(members)
	ask(t, "POST", web[0], "/topic/create?topic=mine&replicated=false", "")
	ask(t, "POST", web[0], "/pub?topic=mine", "a message")
	if text := get(t, web[0], "/stats?format=json&topic=mine"); !strings.Contains(text, `"topic_name":"mine"`) || strings.Contains(text, `"replica"`) {
		t.Errorf("/stats: %s", text)
	}
	process.Eventually(t, "all know", func() bool { return strings.Contains(get(t, web[2], "/cluster"), `"local":["mine"]`) })
	ask(t, "POST", web[2], "/pub?topic=mine", "another node's")
	if text := get(t, web[2], "/stats?format=json&topic=mine"); strings.Contains(text, `"replica"`) {
		t.Errorf("/stats: %s", text)
	}
	askEach(t, web[1:2], "/cluster/adopt?topic=other", http.StatusConflict)
	askEach(t, web[1:2], "/cluster/adopt?topic=mine", http.StatusOK)
	for _, address := range web {
		process.Eventually(t, "it is replicated alone", func() bool {
			text := get(t, address, "/stats?format=json&topic=mine")
			return strings.Count(text, `"topic_name":"mine"`) == 1 && strings.Contains(text, `"replica"`)
		})
	}
}

func TestSecretFileOfASetHoldsOneOrTwoLongLines(t *testing.T) {
	const one, two = "a secret of twenty", "another one of them"
	for text, want := range map[string][]string{
		one:                            {one},
		"\n " + one + " \r\n\n":        {one},
		one + "\n" + two + "\n":        {one, two},
		"":                             nil,
		"short":                        nil,
		one + "\nshort":                nil,
		one + "\n" + two + "\n" + one:  nil,
		strings.Repeat(" ", 30) + "\n": nil,
	} {
		s, err := openSecret("cluster-secret-file", secretFile(t, text), clusterSecrets, slog.New(slog.DiscardHandler))
		if (err != nil) != (want == nil) {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil {
			continue
		}
		var got []string
		for _, secret := range s.secrets() {
			got = append(got, string(secret))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestWhereMembersListen(t *testing.T) {
	for address, everywhere := range map[string]bool{"127.0.0.1": false, "localhost": false, "192.0.2.77": true, "qd1.example": true} {
		l, err := listenForMembers(net.JoinHostPort(address, "0"))
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		l.Close()
		if got := l.Addr().(*net.TCPAddr).IP.IsUnspecified(); got != everywhere {
			t.Errorf("%s: on %s", address, l.Addr())
		}
	}
}

// Without --cluster-peers nothing of a set is there: no listener, no file, no route.
func TestNodeAloneHasNothingOfASet(t *testing.T) {
	dir := privateDir(t)
	r := start(t, "--data-path="+dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
	r.untilListening()
	r.stop()
	for _, name := range []string{"raft", "replicated"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("there is %s", name)
		}
	}
	q := config.QD{}
	if set, err := openSet(&q, nil, nil); set != nil || err != nil {
		t.Errorf("%v, %v", set, err)
	}
}

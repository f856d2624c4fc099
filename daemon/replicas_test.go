package daemon

import (
	"fmt"
	"log/slog"
	"net"
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
				if text := get(t, address, "/cluster"); strings.Count(text, `"connected":true`) != 3 || strings.Count(text, `"shard":`) != 13 {
					t.Errorf("/cluster: %s", text)
				}
			}
			for _, m := range members {
				m.stop()
			}
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

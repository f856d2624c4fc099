package daemon

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/config"
)

func TestQAdminServesThePageAndItsAPI(t *testing.T) {
	d, err := Launch(QAdmin, []string{"--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1", "--base-path=/admin", "--cluster-name=test", "--log-level=error"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + d.Addresses()["HTTP"] + "/admin"
	for path, want := range map[string]string{"/ping": "OK", "/topics": `<base href="/admin/">`, "/api/q/me": `"cluster":"test"`, "/config/nsqd_http_addresses": `["127.0.0.1:1"]`} {
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.300s", path, answer.StatusCode, body)
		}
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
}

func TestQAdminRefusesFilesThatItCannotUse(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("nothing of use"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, flag := range map[string]string{
		"holds no certificate":           "--http-client-tls-root-ca-file=" + bad,
		"failed to read":                 "--http-client-tls-root-ca-file=/no/such/file",
		"failed to load":                 "--http-client-tls-cert=" + bad,
		"bad: line 1: ":                  "--users-file=" + bad,
		"must be one line":               "--http-client-auth-file=" + bad,
		"index.html":                     "--dev-static-dir=" + filepath.Dir(bad),
		"listen (203.0.113.1:1) failed ": "--http-address=203.0.113.1:1",
	} {
		args := []string{"--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1", flag}
		if strings.Contains(flag, "tls-cert") {
			args = append(args, "--http-client-tls-key="+bad)
		}
		d, err := Launch(QAdmin, args, io.Discard)
		if err == nil {
			t.Errorf("%s: it started", flag)
			_ = d.Stop()
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestQAdminVerifiesCertificatesUnlessToldNotTo(t *testing.T) {
	strict, err := clientTLS(&config.QAdmin{})
	if err != nil || strict.InsecureSkipVerify {
		t.Errorf("%+v, %v", strict, err)
	}
	lax, err := clientTLS(&config.QAdmin{HTTPClientTLSInsecureSkipVerify: true})
	if err != nil || !lax.InsecureSkipVerify {
		t.Errorf("%+v, %v", lax, err)
	}
}

// TestQAdminShowsItsCredentialToNodesOnly: to a qd whose HTTP API is closed,
// but neither to directories nor to whatever they name besides.
func TestQAdminShowsItsCredentialToNodesOnly(t *testing.T) {
	const token = "4f1c9a7e"
	dir := t.TempDir()
	credentials, credential := filepath.Join(dir, "http-auth"), filepath.Join(dir, "credential")
	digest := fmt.Sprintf("admin bearer sha256:%x\n", sha256.Sum256([]byte(token)))
	for name, text := range map[string]string{credentials: digest, credential: "bearer " + token + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node := start(t, "--data-path="+dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--http-auth="+credentials)
	_, address := node.untilListening()
	host, port, _ := net.SplitHostPort(address)
	leaked, asked := make(chan string, 100), make(chan string, 100)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked <- "a stranger " + r.URL.Path
		}
		asked <- r.URL.Path
	}))
	defer stranger.Close()
	_, strange, _ := net.SplitHostPort(stranger.Listener.Addr().String())
	directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked <- "a directory " + r.URL.Path
		}
		w.Header().Set("X-NSQ-Content-Type", "nsq; version=1.0")
		producers := []string{}
		for _, p := range [][2]string{{host, port}, {"localhost", strange}, {"127.0.0.1:" + strange + "/any/path?q=1&x=", "4151"}, {"http://127.0.0.1:" + strange + "/any#", "4151"}} {
			producers = append(producers, fmt.Sprintf(`{"broadcast_address":%q,"hostname":"n","tcp_port":%s,"http_port":%s,"version":"2.0.0","topics":[],"tombstones":[]}`, p[0], p[1], p[1]))
		}
		fmt.Fprintf(w, `{"producers":[%s],"topics":[],"channels":[]}`, strings.Join(producers, ","))
	}))
	defer directory.Close()
	page, err := Launch(QAdmin, []string{"--http-address=127.0.0.1:0", "--lookupd-http-address=" + directory.URL,
		"--http-client-auth-file=" + credential, "--http-client-auth-for=127.0.0.1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := fetch(t, "http://"+address+"/topic/create?topic=theirs", func(r *http.Request) {
		r.Method = http.MethodPost
		r.Header.Set("Authorization", "Bearer "+token)
	}); status != http.StatusOK {
		t.Fatalf("a topic cannot be created: %d", status)
	}
	answer := get(t, page.Addresses()["HTTP"], "/api/nodes/"+address)
	if !strings.Contains(answer, `"topic_name":"theirs"`) {
		t.Errorf("the node is not asked with success: %s", answer)
	}
	<-asked // the stranger was there all the time
	if err := page.Stop(); err != nil {
		t.Error(err)
	}
	node.stop()
	select {
	case who := <-leaked:
		t.Errorf("the credential was shown to %s", who)
	default:
	}
	for len(asked) > 0 {
		if path := <-asked; strings.Contains(path, "any") {
			t.Errorf("a host that is none was asked for %s", path)
		}
	}
}

func TestHostsThatTheCredentialIsFor(t *testing.T) {
	for args, want := range map[string]string{
		"--lookupd-http-address=127.0.0.1:1 --http-client-auth-for=Node.example --http-client-auth-for=10.0.0.0/8 --http-client-auth-for=[::1]": "node.example NODE.EXAMPLE 10.1.2.3 ::ffff:10.1.2.3 ::1",
		"--nsqd-http-address=127.0.0.1:1 --nsqd-http-address=http://localhost:2":                                                                "127.0.0.1 localhost",
	} {
		s, err := config.ParseQAdmin(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		q := s.Values()
		h := hostsOf(&q)
		for _, host := range strings.Fields("node.example NODE.EXAMPLE x.node.example node.example.evil 10.1.2.3 ::ffff:10.1.2.3 11.1.2.3 ::1 ::2 127.0.0.1 localhost other") {
			if got, wanted := h.has(host), slices.Contains(strings.Fields(want), host); got != wanted {
				t.Errorf("%s: %s is one of them: %v", args, host, got)
			}
		}
	}
}

// TestCredentialIsReadAgain with SIGHUP: so that it can be changed on both sides.
func TestCredentialIsReadAgain(t *testing.T) {
	shown := make(chan string, 100)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case shown <- r.Header.Get("Authorization"):
		default:
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer node.Close()
	file := writeSecret(t, "bearer first", 0o600)
	r := launch(t, QAdmin, "--http-address=127.0.0.1:0", "--nsqd-http-address="+node.Listener.Addr().String(), "--http-client-auth-file="+file)
	address := r.line("HTTP: listening on ")
	last := func() (header string) {
		fetch(t, "http://"+address+"/api/topics") // has it ask
		for len(shown) > 0 {
			header = <-shown
		}
		return header
	}
	until(t, "Bearer first", last)
	if err := os.WriteFile(file, []byte("bearer second"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	until(t, "Bearer second", last)
	r.stop()
}

package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"qmq/api"
	"qmq/config"
	"qmq/internal/certs"
	"qmq/internal/httpauth"
	"qmq/lookup"
)

// pairFiles are a certificate and its key.
type pairFiles struct{ cert, key string }

// writePair makes a self-signed pair in dir, or replaces the one there.
func writePair(t *testing.T, dir, name string) pairFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := pairFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{
		files.cert: {Type: "CERTIFICATE", Bytes: der},
		files.key:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// startSecure starts qd with a certificate and returns its addresses.
func startSecure(t *testing.T, files pairFiles, args ...string) (r *running, tcp, web, secure string) {
	t.Helper()
	r = start(t, append(args, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0",
		"--https-address=127.0.0.1:0", "--tls-cert", files.cert, "--tls-key", files.key)...)
	return r, r.line("INFO: TCP: listening on "), r.line("INFO: HTTP: listening on "), r.line("INFO: HTTPS: listening on ")
}

// fetch makes one request, over TLS for https, and returns the answer and the
// name in the server's certificate.
func fetch(t *testing.T, url string, change ...func(*http.Request)) (status int, body, name string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(request)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.TLS != nil {
		name = response.TLS.PeerCertificates[0].Subject.CommonName
	}
	return response.StatusCode, string(text), name
}

func TestTLSRequirements(t *testing.T) {
	files := writePair(t, t.TempDir(), "q")
	for _, test := range []struct {
		args              []string
		clearTCP, clearOK bool
	}{
		{nil, true, true},
		{[]string{"--tls-required=tcp-https"}, false, true},
		{[]string{"--tls-required"}, false, false},
		{[]string{"--tls-client-auth-policy=other"}, false, false},
	} {
		r, tcp, web, secure := startSecure(t, files, test.args...)
		_, port, _ := net.SplitHostPort(secure)
		for _, path := range []string{"/ping", "/nowhere"} {
			status, body, _ := fetch(t, "http://"+web+path)
			refused := status == http.StatusForbidden && body == fmt.Sprintf(`{"message": "TLS_REQUIRED", "https_port": %s}`, port)
			if refused == test.clearOK {
				t.Errorf("%q: plain %s is answered %d %s", test.args, path, status, body)
			}
		}
		if status, body, name := fetch(t, "https://"+secure+"/ping"); status != http.StatusOK || body != "OK" || name != "q" {
			t.Errorf("%q: HTTPS is answered %d %s by %s", test.args, status, body, name)
		}
		conn, err := net.Dial("tcp", tcp)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(testTimeout))
		io.WriteString(conn, "  V2PUB t\n\x00\x00\x00\x01x")
		answer := make([]byte, 10)
		if _, err := io.ReadFull(conn, answer); err != nil || (string(answer[8:]) == "OK") != test.clearTCP {
			t.Errorf("%q: PUB in clear is answered %q, %v", test.args, answer, err)
		}
		conn.Close()
		r.stop()
	}
}

func TestFilesThatCannotBeReadFailTheStart(t *testing.T) {
	files := writePair(t, t.TempDir(), "q")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--tls-cert=" + files.key, "--tls-key=" + files.key}, "failed to build TLS config - tls: failed to find certificate PEM data in certificate input, but did find a private key"},
		{[]string{"--tls-cert=" + files.cert, "--tls-key=/none"}, "failed to build TLS config - stat /none: no such file or directory"},
		{[]string{"--auth-http-address=a:1", "--tls-root-ca-file=" + empty}, "failed to build TLS config - " + empty + ": there is no certificate in it"},
		{[]string{"--http-auth=" + empty}, "failed to read --http-auth - " + empty + ": line 1: want ROLES bearer DIGEST or ROLES basic USER DIGEST"},
	} {
		r := start(t, append(test.args, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=", "--log-level=fatal")...)
		if line := <-r.lines; !strings.Contains(line, " FATAL: failed to start qd - "+test.want) {
			t.Errorf("%s: got %s", test.args, line)
		}
		if code := r.exitCode(); code != exitFailed {
			t.Errorf("%s: exit code %d", test.args, code)
		}
	}
}

// TestHangupReadsFilesAgain: and those who are connected stay.
func TestHangupReadsFilesAgain(t *testing.T) {
	dir := t.TempDir()
	files := writePair(t, dir, "old")
	credentials := filepath.Join(dir, "http-auth")
	allow := func(token string) {
		t.Helper()
		line := fmt.Sprintf("read bearer sha256:%x\n", sha256.Sum256([]byte(token)))
		if err := os.WriteFile(credentials, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	allow("first")
	r, tcp, _, secure := startSecure(t, files, "--http-auth", credentials)
	conn, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if status, _, name := fetch(t, "https://"+secure+"/info", with("first")); status != http.StatusOK || name != "old" {
		t.Errorf("before: %d by %s", status, name)
	}
	if status, body, _ := fetch(t, "https://"+secure+"/info"); status != http.StatusUnauthorized || body != `{"message":"UNAUTHORIZED"}` {
		t.Errorf("without a credential: %d %s", status, body)
	}
	writePair(t, dir, "new")
	allow("second")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.line("INFO: reading certificates and credentials again")
	deadline := time.After(testTimeout)
	for {
		status, _, name := fetch(t, "https://"+secure+"/info", with("second"))
		if status == http.StatusOK && name == "new" {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("after: %d by %s", status, name)
		default:
		}
	}
	conn.SetDeadline(time.Now().Add(testTimeout))
	io.WriteString(conn, "  V2PUB t\n\x00\x00\x00\x01x")
	answer := make([]byte, 10)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer[8:]) != "OK" {
		t.Errorf("the connection from before gets %q, %v", answer, err)
	}
	r.stop()
}

// TestHangupEndsNoDaemon though it has nothing to read.
func TestHangupEndsNoDaemon(t *testing.T) {
	directory := launch(t, QLookupd, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
	page := launch(t, QAdmin, "--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1")
	for _, r := range []*running{directory, page} {
		r.line("HTTP: listening on ")
	}
	hangUp(t)
	for _, r := range []*running{directory, page} {
		r.line("SIGHUP: there is no file to read again")
		r.stop()
	}
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestPageAndDirectoryServeTLS, each with a pair that is read again, and not in
// clear.
func TestPageAndDirectoryServeTLS(t *testing.T) {
	dir := t.TempDir()
	files := writePair(t, dir, "old")
	flags := []string{"--http-address=127.0.0.1:0", "--tls-cert=" + files.cert, "--tls-key=" + files.key}
	directory := launch(t, QLookupd, append(flags, "--tcp-address=127.0.0.1:0")...)
	page := launch(t, QAdmin, append(flags, "--nsqd-http-address=127.0.0.1:1")...)
	running := map[*running]string{directory: directory.line("HTTPS: listening on "), page: page.line("HTTPS: listening on ")}
	for _, address := range running {
		if status, body, name := fetch(t, "https://"+address+"/ping"); status != 200 || body != "OK" || name != "old" {
			t.Errorf("%d %s by %s", status, body, name)
		}
		if status, _, _ := fetch(t, "http://"+address+"/ping"); status != http.StatusBadRequest {
			t.Errorf("in clear: %d", status)
		}
	}
	writePair(t, dir, "new")
	hangUp(t)
	for r, address := range running {
		r.line("INFO: reading certificates and credentials again")
		until(t, "new", func() string { _, _, name := fetch(t, "https://"+address+"/ping"); return name })
		r.stop()
	}
}

// TestNodeAsksADirectoryThatServesTLS: it is told a port, and finds out.
func TestNodeAsksADirectoryThatServesTLS(t *testing.T) {
	files := writePair(t, t.TempDir(), "q")
	directory := launch(t, QLookupd, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1", "--tls-cert="+files.cert, "--tls-key="+files.key)
	tcp, web := directory.line("TCP: listening on "), directory.line("HTTPS: listening on ")
	roots, err := certs.Roots(files.cert)
	if err != nil {
		t.Fatal(err)
	}
	c := lookup.NewClient(lookup.ClientOptions{TLS: &tls.Config{RootCAs: roots}})
	defer c.Close()
	if err := c.CreateChannel(t.Context(), []string{web}, "t", "known"); err != nil {
		t.Fatal(err)
	}
	node := start(t, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1",
		"--lookupd-tcp-address="+tcp, "--tls-root-ca-file="+files.cert)
	api := node.linesInAnyOrder("HTTP: listening on ", "lookup directory knows what is here")[0]
	ask(t, "POST", api, "/pub?topic=t", "x")
	until(t, "true", func() string {
		return fmt.Sprint(strings.Contains(get(t, api, "/stats?format=json&topic=t"), `"channel_name":"known"`))
	})
	node.stop()
	directory.stop()
}

// TestHangupReadsTheFileOfUsersAgain: who is removed is signed out.
func TestHangupReadsTheFileOfUsersAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(name string) {
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name+":admin:"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("maria")
	r := launch(t, QAdmin, "--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1", "--users-file="+file)
	base := "http://" + r.line("HTTP: listening on ")
	answer, err := http.Post(base+"/api/q/login", "application/json", strings.NewReader(`{"user":"maria","password":"secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	session := answer.Cookies()[0]
	status := func() string {
		status, _, _ := fetch(t, base+"/api/q/names", func(r *http.Request) { r.AddCookie(session) })
		return fmt.Sprint(status)
	}
	if got := status(); got != "200" {
		t.Fatalf("signed in: %s", got)
	}
	write("tom")
	hangUp(t)
	until(t, "401", status)
	r.stop()
}

func TestClientCertificatesAreAskedForByPolicy(t *testing.T) {
	for policy, want := range map[string]tls.ClientAuthType{
		"":               tls.NoClientCert,
		"require":        tls.RequireAnyClientCert,
		"require-verify": tls.RequireAndVerifyClientCert,
		"other":          tls.NoClientCert,
	} {
		q := config.QD{TLSClientAuthPolicy: policy, TLSMinVersion: tls.VersionTLS13, TLSCert: "c", TLSKey: "k", TLSRootCAFile: "r"}
		o := certsOptions(&q, nil)
		if o.ClientAuth != want || o.MinVersion != tls.VersionTLS13 || o.CertFile != "c" || o.KeyFile != "k" || o.RootFile != "r" {
			t.Errorf("%q gives %+v", policy, o)
		}
	}
}

func TestAuthServersAreAskedAsTheOptionsSay(t *testing.T) {
	methods := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods <- r.Method
		io.WriteString(w, `{"ttl":60,"authorizations":[{"topic":".*","channels":[".*"],"permissions":["publish"]}]}`)
	}))
	defer server.Close()
	for option, method := range map[string]string{"get": "GET", "post": "POST"} {
		r := start(t, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0",
			"--auth-http-address="+server.Listener.Addr().String(), "--auth-http-request-method="+option)
		conn, err := net.Dial("tcp", r.line("TCP: listening on "))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(testTimeout))
		io.WriteString(conn, "  V2AUTH\n\x00\x00\x00\x01sPUB t\n\x00\x00\x00\x01xPUB t\n\x00\x00\x00\x01xSUB t c\n")
		answers, err := io.ReadAll(conn)
		conn.Close()
		for _, want := range []string{`{"identity":"","identity_url":"","permission_count":1}`, "OK", `E_UNAUTHORIZED AUTH failed for SUB on "t" "c"`} {
			if !strings.Contains(string(answers), want) {
				t.Errorf("%q is not in %q, %v", want, answers, err)
			}
		}
		if got := <-methods; got != method {
			t.Errorf("%s asks with %s", option, got)
		}
		r.stop()
	}
}

func TestNobodyConsumesOverHTTPWhereSessionsAloneAreGuarded(t *testing.T) {
	for name, test := range map[string]struct {
		q       config.QD
		guarded bool // the API is
		refused bool
	}{
		"open":                {config.QD{}, false, false},
		"auth server":         {config.QD{AuthHTTPAddresses: []string{"a:1"}}, false, true},
		"certificates":        {config.QD{TLSClientAuthPolicy: "require-verify"}, false, true},
		"certificates if any": {config.QD{TLSClientAuthPolicy: "request"}, false, false},
		"both":                {config.QD{AuthHTTPAddresses: []string{"a:1"}}, true, false},
	} {
		var s security
		if test.guarded {
			s.httpAuth = new(httpauth.Credentials)
		}
		var o api.Options
		s.guardAPI(&test.q, &o)
		if (o.ConsumeRefused != "") != test.refused {
			t.Errorf("%s: %q", name, o.ConsumeRefused)
		}
	}
}

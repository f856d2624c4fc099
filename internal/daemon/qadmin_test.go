package daemon

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
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
		"line 1 of":                      "--users-file=" + bad,
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

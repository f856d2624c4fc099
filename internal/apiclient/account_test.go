package apiclient

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestAccountForHTTPSNeverGoesInClear, though a directory may name the same host
// and port as those of a node, which are asked in clear at first.
func TestAccountForHTTPSNeverGoesInClear(t *testing.T) {
	var mu sync.Mutex // guards asked
	var asked []string
	note := func(r *http.Request) {
		user, password, _ := r.BasicAuth()
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, scheme+" "+user+":"+password)
	}
	seen := func() string {
		mu.Lock()
		defer mu.Unlock()
		all := strings.Join(asked, ", ")
		asked = nil
		return all
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { note(r) }))
	defer secure.Close()
	// As somebody sees it who listens in between.
	clear := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		http.Error(w, plainToTLS, http.StatusBadRequest)
	}))
	defer clear.Close()

	accounts := new(Accounts)
	host := secure.Listener.Addr().String()
	if got := accounts.Take("https://ann:s3cret@" + host); got != "https://"+host {
		t.Fatalf("the address is %s", got)
	}
	heard := clear.Listener.Addr().String()
	accounts.Take("https://ann:s3cret@" + heard)
	accounts.Take("http://bob:word@" + host)
	c := New(Options{Accounts: accounts, TLS: secure.Client().Transport.(*http.Transport).TLSClientConfig})
	defer c.Close()

	if err := c.Get(t.Context(), "https://"+host+"/x", nil); err != nil || seen() != "https ann:s3cret" {
		t.Errorf("over TLS: %v", err)
	}
	_ = c.Get(t.Context(), "http://"+heard+"/x", nil) // it fails over TLS, which is not spoken there
	if got := seen(); got != "http :" {
		t.Errorf("in clear: %s", got)
	}
}

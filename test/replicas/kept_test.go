package replicas

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qmq/test/process"
)

// keep has a client of a member consume and finish a message of jobs/work over HTTP, after
// which the member keeps the consumer.
func (s *set) keep(m *member, body string) {
	s.t.Helper()
	s.publish(m, "jobs", body)
	got := s.lease(m, 1)
	if got[0].Body != body || got[0].Attempts != 1 {
		s.t.Errorf("%+v, want %s for the first time", got, body)
	}
	s.insist(m, "/fin?topic=jobs&channel=work", got[0].ID)
}

// A member with consumers that are kept for another request drains, and stops, as one without:
// its clients have nothing, and nothing is kept from those of others.
func TestKeptConsumersHoldUpNoDrainAndNoStop(t *testing.T) {
	s := startSet(t)
	s.create("jobs", "work")
	leader := s.leader("jobs")
	a, b := s.others(leader)[0], s.others(leader)[1]
	for round, leave := range []func(){
		func() { s.insist(a, "/drain", "") },
		func() {
			if err := syscall.Kill(a.PID(), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		},
	} {
		s.keep(a, fmt.Sprint("finished ", round))
		leave()
		<-a.Ended()
		if err := a.Err(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		s.keep(b, fmt.Sprint("through another one ", round))
		a.Start(t)
	}
}

// Who waits with a consumer that was kept is told that the node stops.
func TestRequestThatWaitsWithAKeptConsumerEndsWithItsNode(t *testing.T) {
	s := startSet(t)
	s.create("jobs", "work")
	leader := s.leader("jobs")
	a := s.others(leader)[0]
	s.keep(a, "finished")
	waiting := func(n int) func() bool {
		return func() bool {
			answer, err := a.ask("GET", "/metrics", "")
			return err == nil && strings.Contains(answer, fmt.Sprintf("\nqd_http_polls %d\n", n))
		}
	}
	process.Eventually(t, "nobody waits any more", waiting(0))
	told := make(chan error, 1)
	go func() {
		_, err := a.ask("POST", "/sub?topic=jobs&channel=work&wait=50000&lease=600000", "")
		told <- err
	}()
	process.Eventually(t, "it waits", waiting(1))
	if err := syscall.Kill(a.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var refused *process.StatusError
	if err := <-told; !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || refused.Body != `{"message":"EXITING"}` {
		t.Error(err)
	}
	<-a.Ended()
	if err := a.Err(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// secured is a client of a member's HTTPS address, with a certificate and a token.
type secured struct {
	http  *http.Client
	at    string
	token string
}

func (c *secured) post(path, body string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), process.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "https://"+c.at+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// With client certificates and credentials each request shows its own, whoever's the consumer
// was that is kept for it.
func TestKeptConsumersAreForWhoeverMayConsume(t *testing.T) {
	cert, key, trusts := process.Certificate(t)
	credentials := filepath.Join(t.TempDir(), "http-auth")
	var lines []string
	for token, role := range map[string]string{"boss": "admin", "one": "consume", "two": "consume", "none": "publish"} {
		lines = append(lines, fmt.Sprintf("%s bearer sha256:%x", role, sha256.Sum256([]byte(token))))
	}
	if err := os.WriteFile(credentials, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSet(t, 3, "--tls-cert="+cert, "--tls-key="+key, "--tls-client-auth-policy=require", "--http-auth="+credentials)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	shown := trusts.Clone()
	shown.Certificates = []tls.Certificate{pair}
	as := func(token string, config *tls.Config) *secured {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		t.Cleanup(c.CloseIdleConnections)
		return &secured{c, "", token}
	}
	clients := map[string]*secured{"boss": as("boss", shown), "one": as("one", shown), "two": as("two", shown), "none": as("none", shown)}
	for i, m := range s.members {
		at := process.Address(t)
		m.Command.Args = append(slices.Clone(m.Command.Args), "--https-address="+at)
		if m.Start(t); i == 0 {
			for _, c := range clients {
				c.at = at
			}
		}
	}
	must := func(c *secured, path, body string) (answer string) {
		t.Helper()
		process.Eventually(t, path, func() bool {
			status, text, err := c.post(path, body)
			answer = text
			return err == nil && status == http.StatusOK
		})
		return answer
	}
	// Of some topics another member is the leader: there consumers are kept.
	for n := range 9 {
		topic := fmt.Sprint("jobs-", n)
		must(clients["boss"], "/topic/create?topic="+topic, "")
		must(clients["boss"], "/channel/create?topic="+topic+"&channel=work", "")
		for _, who := range []string{"one", "two"} {
			must(clients["boss"], "/pub?topic="+topic, who)
			var got struct{ Messages []leased }
			process.Eventually(t, who+" gets it", func() bool {
				return json.Unmarshal([]byte(must(clients[who], "/sub?topic="+topic+"&channel=work&wait=1000", "")), &got) == nil && len(got.Messages) == 1
			})
			must(clients[who], "/fin?topic="+topic+"&channel=work", got.Messages[0].ID)
		}
		if status, answer, err := clients["none"].post("/sub?topic="+topic+"&channel=work", ""); err != nil || status != http.StatusForbidden {
			t.Error(status, answer, err)
		}
		bare := as("one", trusts)
		bare.at = clients["one"].at
		if status, answer, err := bare.post("/sub?topic="+topic+"&channel=work", ""); err == nil {
			t.Errorf("without a certificate: %d %s", status, answer)
		}
	}
}

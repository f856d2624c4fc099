package main

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// as runs q under the name of a utility, to its end.
func as(t *testing.T, name, input string, args ...string) result {
	t.Helper()
	var out, errors bytes.Buffer
	code, is := runAs("/usr/bin/"+name, args, console{strings.NewReader(input), &out, &errors, nil})
	if !is {
		t.Fatalf("%s is no utility", name)
	}
	return result{code, out.String(), errors.String()}
}

// beginAs starts it.
func beginAs(t *testing.T, name string, input io.Reader, args ...string) *running {
	r := &running{t, make(chan os.Signal, 2), new(watched), new(watched), make(chan int, 1)}
	go func() {
		code, _ := runAs(name, args, console{input, r.out, r.errors, r.signals})
		r.exit <- code
	}()
	return r
}

// TestUtilitiesTakeTheirFlags: all that NSQ's have, with one dash and with two.
func TestUtilitiesTakeTheirFlags(t *testing.T) {
	consumer := "nsqd-tcp-address=127.0.0.1:1 lookupd-http-address=127.0.0.1:1 consumer-opt=max_attempts,10 consumer-opt=snappy max-in-flight=1 "
	for name, flags := range map[string]string{
		"nsq_tail": consumer + "topic=t topic=u channel=c n=1 print-topic",
		"nsq_stat": "topic=t channel=c interval=1s count=1 nsqd-http-address=127.0.0.1:1 lookupd-http-address=127.0.0.1:1 http-client-connect-timeout=1s http-client-request-timeout=1s",
		"nsq_to_file": consumer + "topic=t topic-pattern=x topic-refresh=1s channel=c output-dir=/tmp work-dir=/tmp datetime-format=%Y filename-format=<TOPIC> host-identifier=x " +
			"gzip gzip-level=1 skip-empty-files rotate-size=1 rotate-interval=1s sync-interval=1s http-client-connect-timeout=1s http-client-request-timeout=1s log-level=debug log-prefix=x",
		"nsq_to_http": consumer + "topic=t channel=c n=1 mode=round-robin sample=0.5 post=http://x get=http://x/%s header=A:b content-type=x status-every=1 http-client-connect-timeout=1s http-client-request-timeout=1s",
		"nsq_to_nsq": consumer + "topic=t channel=c destination-topic=d destination-nsqd-tcp-address=127.0.0.1:1 mode=hostpool status-every=1 require-json-field=x require-json-value=y " +
			"whitelist-json-field=z producer-opt=deflate",
		"to_nsq": "topic=t delimiter=, nsqd-tcp-address=127.0.0.1:1 rate=1 producer-opt=tls_v1",
	} {
		for _, dash := range []string{"-", "--"} {
			var args []string
			for _, flag := range strings.Fields(flags) {
				args = append(args, dash+flag)
			}
			if r := as(t, name, "", append(args, dash+"version")...); r.code != exitOK || r.out != name+" v2.0.0\n" {
				t.Errorf("%s: exit code %d, %s%s", name, r.code, r.out, r.errors)
			}
		}
		if r := as(t, name, "", "--help"); r.code != exitOK || !strings.Contains(r.errors, "-topic") {
			t.Errorf("%s --help: exit code %d, %s", name, r.code, r.errors)
		}
		if r := as(t, name, "", "--no-such-flag"); r.code != exitUsage {
			t.Errorf("%s: exit code %d for a flag that is none", name, r.code)
		}
		if r := as(t, name, ""); r.code != exitFailed || !strings.HasPrefix(r.errors, name+": ") || !strings.Contains(r.errors, "required") {
			t.Errorf("%s without flags: exit code %d, %s", name, r.code, r.errors)
		}
	}
}

func TestToNSQPublishesToEveryNode(t *testing.T) {
	a, b := startServer(t), startServer(t)
	if r := as(t, "to_nsq", "a,b,,c", "-topic=t", "-delimiter=,", "-nsqd-tcp-address="+a.tcp, "-nsqd-tcp-address", b.tcp, "-producer-opt", "snappy"); r.code != exitOK {
		t.Fatalf("exit code %d, %s", r.code, r.errors)
	}
	if x, y := a.figures("t").MessageCount, b.figures("t").MessageCount; x != 3 || y != 3 {
		t.Errorf("%d and %d: the last piece has no delimiter", x, y)
	}
}

// TestNSQTailTakesWhatWaits, as the utility does.
func TestNSQTailTakesWhatWaits(t *testing.T) {
	s := startServer(t)
	must(t, numbered(3), "pub", "t", "--addr="+s.tcp)
	if r := as(t, "nsq_tail", "", "--topic=t", "--n=2", "--print-topic", "--nsqd-tcp-address="+s.tcp); r.code != exitOK || r.out != "t | message 0\nt | message 1\n" {
		t.Errorf("exit code %d, %q, %s", r.code, r.out, r.errors)
	}
}

func TestNSQToFileGoesOnWithAFile(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	name := filepath.Join(dir, "t.me."+time.Now().Format("2006")+".log")
	if err := os.WriteFile(name, []byte("before\ncut sho"), 0o600); err != nil {
		t.Fatal(err)
	}
	archive := func(args ...string) {
		t.Helper()
		r := beginAs(t, "nsq_to_file", nil, append([]string{"--topic=t", "--channel=c", "--output-dir=" + dir, "--host-identifier=me", "--datetime-format=%Y", "--sync-interval=10ms", "--nsqd-tcp-address=" + s.tcp}, args...)...)
		s.drained(t)
		if code := r.stop(); code != exitOK {
			t.Fatalf("exit code %d, %s", code, r.errors)
		}
	}
	must(t, "one\ntwo\n", "pub", "t", "--addr="+s.tcp)
	archive()
	if text, err := os.ReadFile(name); err != nil || string(text) != "before\ncut sho\none\ntwo\n" {
		t.Errorf("%q, %v", text, err)
	}
	must(t, "three\n", "pub", "t", "--addr="+s.tcp)
	archive("--gzip", "--work-dir="+filepath.Join(dir, "work"))
	if _, err := os.Stat(filepath.Join(dir, "t.me-000000."+time.Now().Format("2006")+".log.gz")); err != nil {
		t.Errorf("%v; there are %v", err, archived(t, dir))
	}
	if r := as(t, "nsq_to_file", "", "--topic=t", "--gzip", "--filename-format=<TOPIC>", "--nsqd-tcp-address="+s.tcp); r.code != exitFailed || !strings.Contains(r.errors, "needs <REV>") {
		t.Errorf("exit code %d, %s", r.code, r.errors)
	}
	if r := as(t, "nsq_to_file", "", "--topic=t", "--nsqd-tcp-address="+s.tcp, "stray"); r.code != exitFailed || !strings.Contains(r.errors, "unknown arguments: stray") {
		t.Errorf("exit code %d, %s", r.code, r.errors)
	}
}

func TestNSQToHTTPAndToNSQForward(t *testing.T) {
	s, other, h := withChannel(t), startServer(t), newHook(t, nil)
	must(t, `{"a":1,"b":2}`+"\n"+`{"b":3}`+"\n", "pub", "t", "--addr="+s.tcp)
	r := beginAs(t, "nsq_to_nsq", nil, "--topic=t", "--channel=c", "--destination-topic=d", "--require-json-field=a", "--whitelist-json-field=a",
		"--nsqd-tcp-address="+s.tcp, "--destination-nsqd-tcp-address="+other.tcp)
	s.drained(t)
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if out := must(t, "", "sub", "d", "c", "--yes", "--count=1", "--addr="+other.tcp); out != `{"a":1}`+"\n" || other.figures("d").MessageCount != 1 {
		t.Errorf("%q", out)
	}
	must(t, numbered(20), "pub", "t", "--addr="+s.tcp)
	r = beginAs(t, "nsq_to_http", nil, "--topic=t", "--channel=c", "--post="+h.URL, "--header=X: y", "--nsqd-tcp-address="+s.tcp)
	s.drained(t)
	r.stop()
	if h.different() != 20 {
		t.Errorf("%d messages", h.different())
	}
}

// TestNSQToHTTPGivesUpAfterTheAttemptsOfItsConsumer, unlike q forward.
func TestNSQToHTTPGivesUpAfterTheAttemptsOfItsConsumer(t *testing.T) {
	s := withChannel(t)
	refuses := newHook(t, func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.WriteHeader(500)
		return true
	})
	must(t, "x\n", "pub", "t", "--addr="+s.tcp)
	r := beginAs(t, "nsq_to_http", nil, "--topic=t", "--channel=c", "--post="+refuses.URL, "--consumer-opt=max_attempts,2", "--consumer-opt=default_requeue_delay,1ms", "--nsqd-tcp-address="+s.tcp)
	s.drained(t)
	if r.stop(); refuses.count() != 2 || !strings.Contains(r.errors.String(), "given up") {
		t.Errorf("%d tries, %s", refuses.count(), r.errors)
	}
}

func TestNSQStatPrintsItsLines(t *testing.T) {
	s := withChannel(t)
	must(t, numbered(3), "pub", "t", "--addr="+s.tcp)
	r := as(t, "nsq_stat", "", "--topic=t", "--channel=c", "--interval=1ms", "--count=2", "--nsqd-http-address="+s.http)
	lines := strings.Split(r.out, "\n")
	if r.code != exitOK || len(lines) != 5 || lines[2] != "      0       0 |       3       3       0     0     0 |       0       0            3       0" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	if r := as(t, "nsq_stat", "", "--topic=t", "--channel=none", "--nsqd-http-address="+s.http); r.code != exitFailed {
		t.Errorf("exit code %d for a channel that is not there", r.code)
	}
}

// TestEveryFlagOfTheUtilitiesIsInTheDocument that says what q has instead.
func TestEveryFlagOfTheUtilitiesIsInTheDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-nsq.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range utilities {
		f := &nsqFlags{flag.NewFlagSet(name, flag.ContinueOnError), name}
		u.flags(f)
		_, section, ok := strings.Cut(string(text), "\n### "+name+" ")
		if !ok {
			t.Fatalf("there is no section about %s", name)
		}
		section, _, _ = strings.Cut(section, "\n##")
		f.VisitAll(func(flag *flag.Flag) {
			common := map[string]bool{"consumer-opt": true, "producer-opt": true, "nsqd-tcp-address": true, "lookupd-http-address": true, "max-in-flight": true}
			if !common[flag.Name] && !strings.Contains(section, "--"+flag.Name) {
				t.Errorf("%s: nothing is said about --%s", name, flag.Name)
			}
		})
	}
}

// TestInstalledNamesAreLinksToQ, for all utilities.
func TestInstalledNamesAreLinksToQ(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("make", "-C", filepath.Join("..", ".."), "install-nsq-names", "BINDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name := range utilities {
		if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != "q" {
			t.Errorf("%s: %q, %v", name, to, err)
		}
	}
}

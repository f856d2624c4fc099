package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archived are the files of a directory by name, and where they are.
func archived(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// archiveAll archives topic t until nothing is left in its channel.
func archiveAll(t *testing.T, s *server, args ...string) *running {
	t.Helper()
	r := begin(t, strings.NewReader(""), append([]string{"archive", "t", "--channel=c", "--sync-interval=10ms", "--addr=" + s.tcp}, args...)...)
	eventually(t, "all is archived", func() bool {
		c := s.figures("t").Channels[0]
		return c.Depth+c.InFlight == 0 || len(r.exit) > 0
	})
	return r
}

// bodiesOf are what archives hold, in no order.
func wantRestored(t *testing.T, dir string, want []string) {
	t.Helper()
	s := withChannel(t, "--data-path="+t.TempDir())
	must(t, "", append([]string{"restore", "--addr=" + s.tcp}, archived(t, dir)...)...)
	got := make(map[string]int)
	if len(want) == 0 {
		return
	}
	lines := must(t, "", "sub", "t", "c", "--yes", "--format=json", fmt.Sprint("--count=", s.figures("t").MessageCount), "--addr="+s.tcp)
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		m, err := parseRecord([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		got[string(m.body)]++
	}
	for _, body := range want {
		if got[body] != 1 {
			t.Errorf("%.40q is there %d times", body, got[body])
		}
		delete(got, body)
	}
	if len(got) > 0 {
		t.Errorf("%d bodies that nobody published", len(got))
	}
}

// TestArchiveKeepsAndRestoreReproducesEveryMessage, whatever is in it.
func TestArchiveKeepsAndRestoreReproducesEveryMessage(t *testing.T) {
	for _, compress := range []string{"none", "gzip", "zstd"} {
		s, dir := withChannel(t), t.TempDir()
		want := []string{"a\nb", "\xff\xfe\x00", strings.Repeat("x", 300<<10), `{"body":"<&>"}`, "ü "}
		for _, body := range want {
			must(t, body, "pub", "t", "--whole", "--addr="+s.tcp)
		}
		must(t, numbered(5000), "pub", "t", "--addr="+s.tcp)
		want = append(want, strings.Split(strings.TrimSpace(numbered(5000)), "\n")...)
		r := archiveAll(t, s, "-d", dir, "--compress="+compress, "--rotate-size=100000")
		if code := r.stop(); code != exitOK {
			t.Fatalf("%s: exit code %d, %s", compress, code, r.errors)
		}
		if files := archived(t, dir); compress == "none" && len(files) < 2 || strings.Contains(strings.Join(files, " "), "part") {
			t.Errorf("%s: files %v", compress, files)
		}
		wantRestored(t, dir, want)
	}
}

func TestArchiveNamesFilesAndWritesNothingOver(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	there := filepath.Join(dir, "t", "fixed-000000.log")
	if err := os.Mkdir(filepath.Dir(there), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(there, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "one\n", "pub", "t", "--addr="+s.tcp)
	archiveAll(t, s, "-d", dir, "--format=raw", "--filename-format=<TOPIC>/fixed<REV>.log").stop()
	if text, err := os.ReadFile(there); err != nil || string(text) != "mine\n" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "t", "fixed-000001.log")); err != nil || string(text) != "one\n" {
		t.Errorf("%q, %v", text, err)
	}
	for _, format := range []string{"<TOPIC>.log", "../<TOPIC><REV>", "/etc/<REV>"} {
		wantRefusal(t, exitFailed, "file", "archive", "t", "--filename-format="+format, "--addr="+s.tcp)
	}
	wantRefusal(t, exitFailed, "loses messages while nobody reads", "archive", "t", "--channel=x#ephemeral", "--addr="+s.tcp)
}

func TestArchiveFollowsTopicsThatCome(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	r := begin(t, strings.NewReader(""), "archive", "-d", dir, "--topic-pattern=^t", "--topic-refresh=20ms", "--sync-interval=10ms", "--http-addr="+s.http)
	eventually(t, "t is archived", func() bool { return len(s.figures("t").Channels) == 2 })
	must(t, "new\n", "pub", "t2", "--addr="+s.tcp)
	must(t, "other\n", "pub", "other", "--addr="+s.tcp)
	eventually(t, "t2 is archived", func() bool {
		f := s.figures("t2")
		return len(f.Channels) == 1 && f.Depth+f.Channels[0].Depth+f.Channels[0].InFlight == 0
	})
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if f := s.figures("other"); len(f.Channels) != 0 {
		t.Error("other is archived too")
	}
	if files := archived(t, dir); len(files) != 1 || !strings.HasPrefix(filepath.Base(files[0]), "t2.") {
		t.Errorf("files %v", files)
	}
}

// TestArchiveThatCannotWriteGivesEverythingBack and ends.
func TestArchiveThatCannotWriteGivesEverythingBack(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	must(t, numbered(10), "pub", "t", "--addr="+s.tcp)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := q(t, "", "archive", "t", "--channel=c", "-d", filepath.Join(dir, "file"), "--addr="+s.tcp)
	if r.code != exitFailed || !strings.Contains(r.errors, "not a directory") {
		t.Errorf("exit code %d, %s", r.code, r.errors)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	r = q(t, "", "archive", "t", "--channel=c", "-d", filepath.Join(dir, "sub"), "--filename-format=x/<TOPIC><REV>/../../../"+filepath.Base(dir)+"<REV>", "--addr="+s.tcp)
	if r.code != exitFailed {
		t.Errorf("exit code %d, %s", r.code, r.errors)
	}
	eventually(t, "they are there", func() bool { c := s.figures("t").Channels[0]; return c.Depth == 10 && c.InFlight == 0 })
}

// TestArchiveCompletesWhatAKilledOneHasLeft.
func TestArchiveCompletesWhatAKilledOneHasLeft(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	left := filepath.Join(dir, "t.host-000000.old.jsonl")
	if err := os.WriteFile(left+".q-part", []byte(`{"topic":"t","body":"kept"}`+"\n"+`{"topic":"t","bo`), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "new\n", "pub", "t", "--addr="+s.tcp)
	r := archiveAll(t, s, "-d", dir)
	r.stop()
	if text, err := os.ReadFile(left); err != nil || string(text) != `{"topic":"t","body":"kept"}`+"\n" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := os.ReadFile(left + ".torn"); err != nil || string(text) != `{"topic":"t","bo` || !strings.Contains(r.errors.String(), "ended in the middle of a message") {
		t.Errorf("%v, %s", err, r.errors)
	}
}

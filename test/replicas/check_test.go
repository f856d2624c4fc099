package replicas

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"qmq/broker"
)

// checkDir has q check look at a directory, and returns what it found. Its exit code has to
// agree with that.
func checkDir(t *testing.T, q, dir string) (found []broker.CheckedFinding, topics []broker.CheckedTopic) {
	t.Helper()
	out, err := exec.Command(q, "check", "--json", dir).CombinedOutput()
	text, _, _ := bytes.Cut(out, []byte("\n"))
	var checked broker.Checked
	if json.Unmarshal(text, &checked) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if amiss := len(checked.Findings) > 0; amiss != (err != nil) {
		t.Errorf("%v with %+v", err, checked.Findings)
	}
	return checked.Findings, checked.Topics
}

// linkDir makes a directory with the same files. Whoever changes one puts another in its
// place.
func linkDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "linked")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		there := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(there, 0o700)
		}
		return os.Link(path, there)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// Nothing is amiss with what members leave that were stopped, or killed under load while
// what a checkpoint knows of is finished and given up; what is damaged then is named.
func TestCheckOfMembersThatWereStoppedAndKilled(t *testing.T) {
	s := startSet(t, "--max-bytes-per-file=65536")
	q := filepath.Join(binaries, "q")
	s.create("orders", "work")
	backlog := func(name string) (all []string) {
		for _, body := range bodies(name, 400) {
			all = append(all, body+" "+strings.Repeat("x", 2000))
		}
		for at := 0; at < len(all); at += 100 {
			s.insist(s.members[0], "/mpub?topic=orders", strings.Join(all[at:at+100], "\n"))
		}
		return all
	}
	all := backlog("before")
	for _, m := range s.members {
		s.awaitApplied(m, s.leader("orders"), "orders")
	}
	for _, m := range s.members {
		m.Stop(t)
	}
	for _, m := range s.members {
		found, topics := checkDir(t, q, m.dir)
		// More are there where a batch was sent again after an answer that was lost.
		if len(found) > 0 || len(topics) != 1 || topics[0].Messages < 400 || topics[0].Shard == 0 {
			t.Fatalf("a member that was stopped: %+v, %+v", topics, found)
		}
	}
	damageOfMember(t, q, s.members[1].dir)
	for _, m := range s.members {
		m.Start(t)
	}
	c := s.consume("orders", "work", s.members...)
	var load sync.WaitGroup
	load.Go(func() { all = append(all, backlog("meanwhile")...) })
	c.await(slices.Clone(all[:400]))
	load.Wait()
	for _, m := range s.members {
		m.Kill()
	}
	for _, m := range s.members {
		if found, _ := checkDir(t, q, m.dir); len(found) > 0 {
			t.Errorf("a member that was killed: %+v", found)
		}
	}
	for _, m := range s.members {
		m.Start(t)
	}
	c.await(all)
	if out, err := exec.Command(q, "check", s.members[0].dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "is in use") {
		t.Errorf("a directory in use: %v, %s", err, out)
	}
}

// damageOfMember damages copies of a member's directory.
func damageOfMember(t *testing.T, q, dir string) {
	one := func(dir, pattern string, which func([]string) string) string {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		return which(files)
	}
	first := func(files []string) string { return files[0] }
	edit := func(path string, change func([]byte) []byte) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.Remove(path)
		}
		if err == nil {
			err = os.WriteFile(path, change(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	flip := func(path string, at func([]byte) int) {
		edit(path, func(b []byte) []byte {
			b[at(b)] ^= 1
			return b
		})
	}
	const wal, segments = "raft/wal/*.wal", "replicated/*/orders-*/*.seg"
	for name, c := range map[string]struct {
		damage     func(dir string)
		kind, says string
	}{
		"record": {func(dir string) {
			flip(one(dir, segments, first), func(b []byte) int { return bytes.Index(b, []byte("before 5 ")) })
		}, "damaged", "fetches them from the other members"},
		"segment": {func(dir string) { os.Remove(one(dir, segments, first)) }, "missing", "fetches them from the other members"},
		"end":     {func(dir string) { edit(one(dir, segments, first), func(b []byte) []byte { return b[:30_000] }) }, "missing", "fetches them from the other members"},
		"entry": {func(dir string) {
			flip(one(dir, wal, first), func(b []byte) int { return bytes.Index(b, []byte("before 5 ")) })
		}, "raft_log", "join it anew"},
		"log": {func(dir string) { os.RemoveAll(filepath.Join(dir, "raft/wal")) }, "raft_log", "join it anew"},
		"checkpoint": {func(dir string) {
			shard := filepath.Base(filepath.Dir(filepath.Dir(one(dir, segments, first))))
			flip(one(dir, "raft/"+shard+"/*.ckpt", func(files []string) string { return files[len(files)-1] }), func(b []byte) int { return len(b) / 2 })
		}, "checkpoint", "the one before it"},
		"member": {func(dir string) {
			flip(filepath.Join(dir, "raft/member"), func([]byte) int { return 20 })
		}, "member", "which member of the set"},
		"members": {func(dir string) {
			flip(filepath.Join(dir, "raft/0/state"), func([]byte) int { return 20 })
		}, "member", "who the members are"},
		"stranger": {func(dir string) { os.WriteFile(filepath.Join(dir, "replicated", "notes"), nil, 0o600) }, "unknown_directory", "of no shard"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := linkDir(t, dir)
			c.damage(dir)
			found, _ := checkDir(t, q, dir)
			if len(found) != 1 || string(found[0].Kind) != c.kind || !strings.Contains(found[0].Text, c.says) {
				t.Errorf("%+v", found)
			}
		})
	}
}

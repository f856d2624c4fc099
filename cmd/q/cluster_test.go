package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	replicated "qmq/cluster"
	"qmq/daemon"
	"qmq/test/process"
)

// replicas are members of a set that run until the end of the test.
type replicas struct {
	t      *testing.T
	peers  []string // by address, as members are listed
	secret string
	web    map[string]string // HTTP addresses by those
	run    map[string]daemon.Daemon
}

// startReplicas runs a set of three, once it is well.
func startReplicas(t *testing.T, flags ...string) *replicas {
	t.Helper()
	r := &replicas{t: t, secret: filepath.Join(t.TempDir(), "secret"), web: make(map[string]string), run: make(map[string]daemon.Daemon)}
	if err := os.WriteFile(r.secret, []byte("the secret of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.peers = append(r.peers, process.Address(t))
	}
	slices.Sort(r.peers)
	t.Cleanup(func() {
		for _, d := range r.run {
			d.Stop()
		}
	})
	for _, address := range r.peers {
		r.start(address, flags...)
	}
	eventually(t, "the set is well", func() bool { return q(t, "", r.at(0, "cluster", "status")...).code == exitOK })
	return r
}

// start runs one more member, with nothing.
func (r *replicas) start(address string, flags ...string) {
	r.t.Helper()
	r.startOn(address, r.t.TempDir(), flags...)
}

// startOn runs one more member, with what a directory has.
func (r *replicas) startOn(address, dir string, flags ...string) {
	r.t.Helper()
	d, err := daemon.Launch(daemon.QD, append([]string{
		"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=", "--broadcast-address=127.0.0.1", "--data-path=" + dir,
		"--cluster-peers=" + strings.Join(r.peers, ","), "--cluster-address=" + address, "--cluster-secret-file=" + r.secret,
	}, flags...), io.Discard)
	if err != nil {
		r.t.Fatal(err)
	}
	r.run[address], r.web[address] = d, d.Addresses()["HTTP"]
}

func (r *replicas) stop(address string) {
	r.t.Helper()
	if err := r.run[address].Stop(); err != nil {
		r.t.Error(err)
	}
	delete(r.run, address)
}

// at is a command that asks the member with the n-th address.
func (r *replicas) at(n int, args ...string) []string {
	return append(slices.Clone(args), "--http-addr="+r.web[r.peers[n]])
}

// told is the JSON lines of a command that asks a member.
func (r *replicas) told(n int, args ...string) []map[string]any {
	r.t.Helper()
	return toldJSON(r.t, must(r.t, "", r.at(n, append(args, "--json")...)...))
}

// Any member tells of all and takes commands for all.
func TestASetIsShownAndMovedAtAnyMember(t *testing.T) {
	r := startReplicas(t)
	must(t, "", r.at(0, "cluster", "balance")...)     // so that no move is under way
	eventually(t, "all shards are led", func() bool { // none is for a moment, where the machine is busy
		leads := 0.0
		for i, m := range r.told(1, "cluster", "members") {
			if m["address"] != r.peers[i] || m["state"] != "member" {
				t.Errorf("%v", m)
			}
			leads += m["leads"].(float64)
		}
		return leads == 13
	})
	for _, to := range []string{r.peers[2], r.peers[0]} {
		wantTold(t, must(t, "", r.at(1, "cluster", "move", "7", to, "--json")...), map[string]any{"done": "moved", "shard": 7.0, "member": to})
		eventually(t, "another member knows", func() bool {
			sh := r.told(0, "cluster", "shards")[7]
			return sh["leader"] == to && sh["turn"] == to && sh["preferred"] == true && sh["shard"] == 7.0
		})
	}
	must(t, "", r.at(2, "cluster", "balance")...)
	eventually(t, "all lead whose turn it is", func() bool {
		return !slices.ContainsFunc(r.told(0, "cluster", "shards"), func(sh map[string]any) bool {
			return sh["leader"] != sh["turn"] || sh["preferred"] != false
		})
	})
	eventually(t, "the set is well", func() bool {
		text := q(t, "", r.at(0, "cluster", "status")...).out
		return strings.HasPrefix(text, "OK: set ") && strings.Contains(text, "3 members")
	})
	wantRefusal(t, exitFailed, "there is no member \"elsewhere:1\"; there are "+strings.Join(r.peers, ", "), r.at(0, "cluster", "move", "1", "elsewhere:1")...)
	wantRefusal(t, exitFailed, "there is no shard 13", r.at(0, "cluster", "move", "13", r.peers[0])...)
	wantRefusal(t, exitFailed, "at least 3 members", r.at(0, "cluster", "remove", r.peers[0], "--yes")...)
	wantRefusal(t, exitFailed, "without a terminal it needs --yes", r.at(0, "cluster", "remove", r.peers[0])...)

	if got := completed(t, "fish", "cluster", "move", "--http-addr="+r.web[r.peers[0]], ""); !slices.Contains(got, "12") {
		t.Errorf("shards: %v", got)
	}
	if got := completed(t, "fish", "cluster", "move", "--http-addr="+r.web[r.peers[0]], "1", ""); !slices.Equal(got, r.peers) {
		t.Errorf("members: %v", got)
	}
}

// A member that is gone makes a set less than well, and two that are make it not work;
// what is to be done is said.
func TestWhatIsWrongWithASetIsSaid(t *testing.T) {
	r := startReplicas(t)
	r.stop(r.peers[2])
	status := r.at(0, "cluster", "status")
	eventually(t, "one is missed", func() bool {
		got := q(t, "", status...)
		return got.code == healthWarning && strings.Contains(got.out, r.peers[2]+" is not connected") && strings.Contains(got.out, "empty data directory")
	})
	r.stop(r.peers[1])
	eventually(t, "there is no majority", func() bool {
		got := q(t, "", status...)
		return got.code == healthCritical && strings.Contains(got.out, "no majority: 1 of 3 members are there") && strings.Contains(got.out, "qd cluster force-new")
	})
	eventually(t, "a change is refused for that", func() bool { // until the one that is left leads no more it says so otherwise
		got := q(t, "", r.at(0, "cluster", "balance")...)
		return got.code == exitAgain && strings.Contains(got.errors, "more than half of it is not there")
	})
	var st struct {
		State    string
		Problems []struct{ State, What, Do string }
	}
	if err := json.Unmarshal([]byte(q(t, "", append(status, "--json")...).out), &st); err != nil || st.State != "CRITICAL" || len(st.Problems) == 0 || st.Problems[0].State != "CRITICAL" || st.Problems[0].Do == "" {
		t.Errorf("%+v, %v", st, err)
	}
	r.stop(r.peers[0])
	if got := q(t, "", status...); got.code != healthUnknown || !strings.Contains(got.errors, "connection refused") {
		t.Errorf("%+v", got)
	}
	alone := startServer(t)
	wantRefusal(t, exitFailed, "it is no member of a replicated set: qd becomes one with --cluster-peers", "cluster", "members", "--http-addr="+alone.http)
}

// A node that takes the place of another one at another address; and one that is
// expected and taken back.
func TestAMemberIsReplacedAtAnotherAddress(t *testing.T) {
	r := startReplicas(t)
	if text := must(t, "", r.at(0, "cluster", "add", r.peers[1])...); !strings.Contains(text, r.peers[1]+" is a member already") {
		t.Errorf("%s", text)
	}
	if text := must(t, "", r.at(0, "cluster", "add", "127.0.0.1:1")...); !strings.Contains(text, "nobody has joined there yet") ||
		!strings.Contains(text, "--cluster-peers="+strings.Join(r.peers, ",")+",127.0.0.1:1, and in the list one address more") {
		t.Errorf("%s", text)
	}
	eventually(t, "it is expected at another member", func() bool {
		return strings.Contains(q(t, "", r.at(1, "cluster", "status")...).out, "Expected, and not there yet: a node at 127.0.0.1:1.")
	})
	must(t, "", r.at(2, "cluster", "remove", "127.0.0.1:1")...)
	gone, comes := r.peers[2], process.Address(t)
	r.stop(gone)
	wantRefusal(t, exitFailed, "takes the place of the member there by itself", r.at(0, "cluster", "replace", gone, gone)...)
	list := strings.Join([]string{r.peers[0], r.peers[1], comes}, ",")
	if text := must(t, "", r.at(0, "cluster", "replace", gone, comes)...); !strings.Contains(text, "--cluster-peers="+list+"\n") {
		t.Errorf("%s", text)
	}
	wantRefusal(t, exitFailed, "it is to be replaced already", r.at(0, "cluster", "replace", gone, "127.0.0.1:1")...)
	r.peers[2] = comes
	r.start(comes)
	must(t, "", r.at(0, "cluster", "replace", gone, comes, "--wait=2m")...)
	must(t, "", r.at(0, "cluster", "replace", gone, comes, "--wait=2m")...) // it is so already
	want := slices.Sorted(slices.Values(r.peers))
	eventually(t, "another member lists it", func() bool {
		var addresses []string
		for _, m := range r.told(1, "cluster", "members") {
			addresses = append(addresses, m["address"].(string))
		}
		return slices.Equal(addresses, want)
	})
}

// A set begins from the backup of another one: all that was published and not finished is
// there, and numbers go on above. What is no backup, or a part of one, is refused.
func TestASetIsRestoredFromABackup(t *testing.T) {
	r := startReplicas(t)
	at := "--http-addr=" + r.web[r.peers[0]]
	must(t, "", "topics", "create", "orders", at)
	must(t, "", "channels", "create", "orders", "work", at)
	must(t, numbered(500), "pub", "orders", "--addr="+r.run[r.peers[0]].Addresses()["TCP"])
	dir := t.TempDir()
	file := filepath.Join(dir, "all.backup")
	eventually(t, "the member that is asked has applied all", func() bool {
		os.Remove(file)
		told := toldJSON(t, must(t, "", r.at(1, "cluster", "backup", file, "--json")...))[0]
		content, err := os.ReadFile(file)
		if err != nil || told["bytes"] != float64(len(content)) || told["node"] != r.web[r.peers[1]] {
			t.Fatalf("%v, %v", told, err)
		}
		return strings.Count(string(content), "message 499") == 1
	})
	wantRefusal(t, exitFailed, file+" is there already", r.at(1, "cluster", "backup", file)...)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "no backup", string(content[:len(content)/2]), string(content[:len(content)-1]), strings.Replace(string(content), "message 250", "message 25O", 1)} {
		wantRefusal(t, exitFailed, "this is no backup, or it is damaged", "cluster", "restore", writeFile(t, filepath.Join(dir, "broken"), broken), t.TempDir(), "--address="+r.peers[0])
	}

	for address := range r.run {
		r.stop(address)
	}
	data := t.TempDir()
	must(t, "", "cluster", "restore", file, data, "--address="+r.peers[0])
	wantRefusal(t, exitFailed, "it has something of a replicated set already", "cluster", "restore", file, data, "--address="+r.peers[0])
	r.startOn(r.peers[0], data)
	at = "--http-addr=" + r.web[r.peers[0]]
	eventually(t, "it is at work", func() bool {
		return q(t, "another one\n", "pub", "orders", "--addr="+r.run[r.peers[0]].Addresses()["TCP"]).code == exitOK
	})
	lines := strings.Fields(strings.ReplaceAll(must(t, "", "sub", "orders", "work", "-n", "501", "--yes", at), " ", "_"))
	if len(lines) != 501 || lines[0] != "message_0" || lines[499] != "message_499" || lines[500] != "another_one" {
		t.Errorf("%d messages, %v", len(lines), lines[max(0, len(lines)-3):])
	}
	if text := q(t, "", r.at(0, "cluster", "status")...).out; !strings.Contains(text, "The set began by restore at ") {
		t.Errorf("%s", text)
	}
	for _, address := range r.peers[1:] {
		r.start(address)
	}
	eventually(t, "the others have joined", func() bool { return q(t, "", r.at(1, "cluster", "status")...).code == exitOK })
}

// A topic that a member has for itself is replicated when the command ends, with what
// it held.
func TestATopicIsAdopted(t *testing.T) {
	r := startReplicas(t)
	ask := func(n int, method, path, body string) string {
		t.Helper()
		answer, err := process.Ask(t.Context(), http.DefaultClient, method, r.web[r.peers[n]], path, body)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	ask(0, "POST", "/topic/create?topic=mine&replicated=false", "")
	ask(0, "POST", "/channel/create?topic=mine&channel=work", "")
	ask(0, "POST", "/mpub?topic=mine", "one\ntwo\nthree")
	eventually(t, "all know that it is local", func() bool {
		return strings.Contains(ask(1, "GET", "/cluster", ""), `"local":["mine"]`) && strings.Contains(ask(2, "GET", "/cluster", ""), `"local":["mine"]`)
	})
	wantRefusal(t, exitFailed, `topic "other" is not one that stays local`, r.at(1, "cluster", "adopt", "other")...)
	wantTold(t, must(t, "", r.at(1, "cluster", "adopt", "mine", "--json")...), map[string]any{"done": "adopted", "topic": "mine"})
	eventually(t, "the replicated one has it", func() bool {
		text, err := process.Ask(t.Context(), http.DefaultClient, "GET", r.web[r.peers[2]], "/channel/peek?topic=mine&channel=work", "")
		return err == nil && strings.Contains(string(text), `"body":"b25l"`) && strings.Contains(string(text), `"body":"dGhyZWU="`) // one, three
	})
	wantTold(t, must(t, "", r.at(0, "cluster", "adopt", "mine", "--json")...), map[string]any{"done": "adopted", "topic": "mine"})
}

// TestSilentMemberKeepsNobodyFromATopicOfTheSet: the others do what is asked, and tell what
// there is, once.
func TestSilentMemberKeepsNobodyFromATopicOfTheSet(t *testing.T) {
	r := startReplicas(t)
	var all []string
	for _, address := range r.peers {
		all = append(all, "--http-addr="+r.web[address])
	}
	at := func(args ...string) []string { return append(args, all...) }
	for _, path := range []string{"/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/mpub?topic=t"} {
		if _, err := process.Ask(t.Context(), http.DefaultClient, "POST", r.web[r.peers[0]], path, "one\ntwo"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all members have said that they know replays", func() bool { return q(t, "", at("channels", "rewind", "t/c", "first")...).code == exitOK })
	r.stop(r.peers[2])
	eventually(t, "it is rewound", func() bool { return q(t, "", at("channels", "rewind", "t/c", "-1h")...).code == exitOK })
	eventually(t, "one of the others leads, and shows them once", func() bool {
		out := q(t, "", at("peek", "t/c")...)
		return out.code == exitOK && out.out == "one\ntwo\n"
	})
	must(t, "", at("channels", "create", "t/part", "--from=-1h", "--until=last")...)
	stat := q(t, "", at("stat", "t/part")...)
	if stat.code != exitFailed || !strings.Contains(stat.out, "part") || !strings.Contains(stat.errors, "q: "+r.web[r.peers[2]]+": dial tcp ") {
		t.Errorf("%+v", stat)
	}
	wantRefusal(t, exitFailed, "connection refused", at("stat", "t/part", "--json")...)
}

// A former member that runs still is to be stopped: started again it would be none either.
func TestAFormerMemberThatRunsIsToBeStopped(t *testing.T) {
	members := []memberStatus{{Member: "m1", Address: "a:1", Connected: true}, {Member: "m2", Address: "b:1", Connected: true}, {Member: "m4", Address: "d:1", Connected: true}}
	at := memberView{Cluster: "s", Member: "m1", Address: "a:1", State: replicated.StateMember, Epoch: 3, Members: members}
	former := memberView{Cluster: "s", Member: "m3", Address: "c:1", State: replicated.StateFailed, Failure: "this node is no member of its set any more", Epoch: 2}
	problems := func(views ...memberView) (list []problem) {
		for _, p := range (&replicaSet{views: views}).judge() {
			if strings.HasPrefix(p.What, "c:1 ") {
				list = append(list, p)
			}
		}
		return list
	}
	if got := problems(at, former); len(got) != 1 || got[0].level != healthWarning || !strings.Contains(got[0].What, "no member of the set any more") || !strings.HasPrefix(got[0].Do, "Stop it.") {
		t.Errorf("%+v", got)
	}
	former.Member, former.Failure = "m4", "shard 3 takes no part: it is damaged"
	if got := problems(at, former); len(got) != 1 || strings.Contains(got[0].Do, "Stop it") {
		t.Errorf("one that fails: %+v", got)
	}
}

// Who asks a member that was removed is not told that the majority of its set is lost.
func TestAFormerMemberDoesNotTellOfALostMajority(t *testing.T) {
	former := memberView{Cluster: "s", Member: "m3", Address: "c:1", State: replicated.StateFailed, Failure: "this node is no member of its set any more", Members: []memberStatus{
		{Member: "m1", Address: "a:1"}, {Member: "m2", Address: "b:1"}, {Member: "m3", Address: "c:1", Connected: true, Leaving: true},
	}}
	got := (&replicaSet{views: []memberView{former}}).judge()
	if len(got) != 1 || got[0].level != healthCritical || !strings.Contains(got[0].Do, "Ask another member") {
		t.Errorf("%+v", got)
	}
	former.Members[2].Leaving = false // it fails, and the others are gone
	if got := (&replicaSet{views: []memberView{former}}).judge(); !strings.Contains(got[0].What, "no majority") {
		t.Errorf("%+v", got)
	}
}

package config

import (
	"strings"
	"testing"
	"time"
)

func TestSetOfReplicasIsDescribedByOneLineThatIsTheSameOnEach(t *testing.T) {
	for _, test := range []struct {
		args, address, peers string
	}{
		{"--cluster-peers=qd3,qd1:4153,node.example --cluster-secret-file=s", "node.example:4153", "node.example:4153,qd1:4153,qd3:4153"},
		{"--cluster-peers=qd3 --cluster-peers=qd2 --cluster-peers=qd1:9 --broadcast-address=qd2 --cluster-secret-file=s", "qd2:4153", "qd1:9,qd2:4153,qd3:4153"},
		{"--cluster-peers=10.0.0.1,10.0.0.2,[::1]:7 --cluster-address=10.0.0.2 --cluster-secret-file=s", "10.0.0.2:4153", "10.0.0.1:4153,10.0.0.2:4153,[::1]:7"},
		{"--cluster-peers=a,b,c,d,e --cluster-address=a:4153 --cluster-tls-cert=c --cluster-tls-key=k --cluster-tls-ca=a", "a:4153", "a:4153,b:4153,c:4153,d:4153,e:4153"},
	} {
		q := mustParse(t, strings.Fields(test.args)...).Values()
		equal(t, test.args, q.ClusterAddress, test.address)
		equal(t, test.args, strings.Join(q.ClusterPeers, ","), test.peers)
	}
	s := mustParse(t, "--config="+file(t, `cluster_peers = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"`, `cluster_address = "127.0.0.1:2"`,
		`cluster_election_timeout = 1000`, `replica_sync = "kernel"`, `replicated_topics = ["orders*", "bills"]`, `cluster_number = 7`))
	q := s.Values()
	equal(t, "peers", q.ClusterPeers, []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"})
	equal(t, "election timeout", q.ClusterElectionTimeout, time.Second)
	equal(t, "sync", q.ReplicaSync.String(), "kernel")
	equal(t, "patterns", q.ReplicatedTopics, []string{"orders*", "bills"})
	equal(t, "number", q.ClusterNumber, 7)
	if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], "members of the set are not authenticated") {
		t.Errorf("warned of %q", w)
	}
}

func TestMistakesAboutASetSayWhatToDo(t *testing.T) {
	for args, want := range map[string]string{
		"--cluster-peers=a,b --cluster-address=a --cluster-secret-file=s":                                                               "must name 3 or 5 members (7 at most), this node among them, not 2",
		"--cluster-peers=a --cluster-address=a --cluster-secret-file=s":                                                                 "must name 3 or 5 members",
		"--cluster-peers=a,b,c,d --cluster-address=a --cluster-secret-file=s":                                                           "not 4",
		"--cluster-peers=a,b,a:4153 --cluster-address=a --cluster-secret-file=s":                                                        "--cluster-peers names a member twice: a:4153,a:4153,b:4153",
		"--cluster-peers=a,b,c --cluster-address=d --cluster-secret-file=s":                                                             "--cluster-address=d:4153 must be one of --cluster-peers, a:4153,b:4153,c:4153, letter for letter",
		"--cluster-peers=a,b,c --cluster-secret-file=s":                                                                                 "--cluster-address must say which of --cluster-peers",
		"--cluster-peers=a,b,c --cluster-address=a":                                                                                     "needs --cluster-secret-file or --cluster-tls-cert",
		"--cluster-peers=a,b,c --cluster-address=a --cluster-tls-cert=c":                                                                "are needed together",
		"--cluster-peers=a,b,c --cluster-address=a --cluster-secret-file=s --cluster-tls-cert=c --cluster-tls-key=k --cluster-tls-ca=a": "exclude each other",
		"--cluster-peers=a:0,b,c --cluster-address=a --cluster-secret-file=s":                                                           "--cluster-peers must be host:port or host each time",
		"--cluster-peers=0.0.0.0,b,c --cluster-address=b --cluster-secret-file=s":                                                       "--cluster-peers must be host:port or host each time",
		"--cluster-peers=http://a,b,c --cluster-address=b --cluster-secret-file=s":                                                      "--cluster-peers must be host:port or host each time",
		"--cluster-secret-file=s":        "--cluster-secret-file needs --cluster-peers",
		"--cluster-address=a":            "--cluster-address needs --cluster-peers",
		"--cluster-number=1024":          "--cluster-number must be in [-1,1023]",
		"--cluster-election-timeout=1ms": "--cluster-election-timeout must be 50ms to 1m",
		"--replica-sync=never":           "--replica-sync: must be always or kernel",
		"--cluster-log-bytes=1":          "--cluster-log-bytes must be at least 268435456",
		"--cluster-snapshot-rate=-1":     "--cluster-snapshot-rate must be 0 or at least 1048576",
		"--cluster-scrub-rate=1":         "--cluster-scrub-rate must be 0 or at least 65536",
		"--replicated-topics=[":          "--replicated-topics must be names of topics in which",
		"--cluster-peers=a,b,c --cluster-address=a --cluster-secret-file=": "--cluster-secret-file",
	} {
		lines, _ := mistakesOf(t, strings.Fields(args)...)
		if text := strings.Join(lines, "\n"); !strings.Contains(text, want) {
			t.Errorf("%s: got %s", args, text)
		}
	}
}

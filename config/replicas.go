package config

import (
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"qmq/internal/address"
)

// Replicas are the options of a qd that is a member of a set of replicas. Without
// ClusterPeers it is none, and no other counts.
type Replicas struct {
	ClusterPeers   []string // host:port of all members, this one too, sorted; empty: no set
	ClusterAddress string   // of this member, one of ClusterPeers

	ClusterSecretFile string // empty: none
	ClusterTLSCert    string // PEM files; empty: no TLS
	ClusterTLSKey     string
	ClusterTLSCA      string

	ClusterNumber          int // of the set, part of message ids; -1: by the set's id
	ClusterElectionTimeout time.Duration
	ReplicaSync            ReplicaSync
	ReplicatedTopics       []string // patterns of path.Match; empty: all topics
	ClusterLogBytes        int64
	ClusterSnapshotRate    int64 // bytes a second; 0: not limited
	ClusterScrubRate       int64 // bytes a second; 0: nothing is read
}

// ReplicaSync says when a replica acknowledges what it was sent.
type ReplicaSync int

// The values of ReplicaSync.
const (
	SyncAlways ReplicaSync = iota // when it is on the disk
	SyncKernel                    // when the kernel has it
)

var replicaSyncs = []word[ReplicaSync]{{"always", SyncAlways, 0}, {"kernel", SyncKernel, 1}}

// String is the word for it.
func (s ReplicaSync) String() string { return wordFor(replicaSyncs, s).text }

// ClusterPort is that of addresses of members without one.
const ClusterPort = "4153"

// Bounds of the options of replicas.
const (
	minElection   = 50 * time.Millisecond
	maxElection   = time.Minute
	minClusterLog = 256 << 20
)

func (q *Replicas) options() []*option {
	return []*option{
		bind(&q.ClusterPeers, "cluster-peers", commaTexts("host:port"), nil, "all members of a set of nodes that keep the same replicated topics, this one among them, 3 or 5, the same list on each; port "+ClusterPort+" if none is given; no set if empty", peers),
		bind(&q.ClusterAddress, "cluster-address", text("host:port"), "", "which of --cluster-peers this node is, and where it listens for the others; by default the one with this node's host name or broadcast address", peerOrNone),
		bind(&q.ClusterSecretFile, "cluster-secret-file", text("file"), "", "file with the secret by which members know one another, at least 16 characters, the same on each; a second line with another one lets it be replaced without a stop").guards(),
		bind(&q.ClusterTLSCert, "cluster-tls-cert", text("file"), "", "certificate by which members know one another, instead of a secret (PEM)").guards(),
		bind(&q.ClusterTLSKey, "cluster-tls-key", text("file"), "", "its key (PEM)").guards(),
		bind(&q.ClusterTLSCA, "cluster-tls-ca", text("file"), "", "roots of the members' certificates, of nobody else's (PEM)").guards(),
		bind(&q.ClusterNumber, "cluster-number", whole[int]("number"), -1, "part of the ids of replicated messages, different for each set and from all node ids; -1 for one that is made of the set's id; counts when the set begins", between(-1, nodeIDs-1)),
		bind(&q.ClusterElectionTimeout, "cluster-election-timeout", span(), 300*time.Millisecond, "silence of a leader after which the others elect another one; the same on each member", electionTimeout),
		bind(&q.ReplicaSync, "replica-sync", oneOf(replicaSyncs), SyncAlways, "when a replica has a message: always, when it is on the disk, or kernel, when it survives the process; the same on each member"),
		bind(&q.ReplicatedTopics, "replicated-topics", commaTexts("pattern"), nil, "patterns (* and ?) of topics that are replicated; all if empty; #ephemeral ones never are; counts when the set begins", patterns),
		bind(&q.ClusterLogBytes, "cluster-log-bytes", whole[int64]("bytes"), 1<<30, "room that the log of the set may take for members that are behind", atLeast[int64](minClusterLog)),
		bind(&q.ClusterSnapshotRate, "cluster-snapshot-rate", whole[int64]("bytes a second"), 200<<20, "how fast members that lack more than the log has are given it, all together, at most; 0 for as fast as it goes", snapshotRate),
		bind(&q.ClusterScrubRate, "cluster-scrub-rate", whole[int64]("bytes a second"), 4<<20, "how fast the logs of replicated topics are read, once a week, to find and mend what the disk has lost; 0 for not at all", scrubRate),
	}
}

// commaTexts is texts of which one flag may hold several, with commas.
func commaTexts(unit string) kind[[]string] {
	k := texts(unit)
	k.expects = "texts with commas between them (in the config file also an array)"
	k.parse = func(s string) ([]string, bool) { return splitCommas(s), true }
	return k
}

var peers = check[[]string]{
	allowed: "host:port or host each time, with a port of 1 to 65535",
	ok:      func(list []string) bool { return !slices.ContainsFunc(list, func(s string) bool { return !isPeer(s) }) },
}

var peerOrNone = check[string]{
	allowed: "host:port or host, with a port of 1 to 65535, or empty",
	ok:      func(s string) bool { return s == "" || isPeer(s) },
}

// snapshotRate leaves out what would have members wait for ever.
var snapshotRate = check[int64]{
	allowed: "0 or at least 1048576",
	ok:      func(rate int64) bool { return rate == 0 || rate >= 1<<20 },
}

// scrubRate leaves out what would come to no end.
var scrubRate = check[int64]{
	allowed: "0 or at least 65536",
	ok:      func(rate int64) bool { return rate == 0 || rate >= 64<<10 },
}

var electionTimeout = check[time.Duration]{
	allowed: showSpan(minElection) + " to " + showSpan(maxElection),
	ok:      func(d time.Duration) bool { return minElection <= d && d <= maxElection },
}

var patterns = check[[]string]{
	allowed: "names of topics in which * stands for any text and ? for one character",
	ok: func(list []string) bool {
		return !slices.ContainsFunc(list, func(p string) bool {
			_, err := path.Match(p, "")
			return p == "" || err != nil
		})
	},
}

func isPeer(s string) bool {
	host, port, err := net.SplitHostPort(withClusterPort(s))
	return err == nil && address.ValidHost(host) && address.ValidPort(port) && !address.IsUnspecified(host)
}

// withClusterPort is the address of a member with its port.
func withClusterPort(s string) string {
	if _, _, err := net.SplitHostPort(s); err == nil || s == "" {
		return s
	}
	return net.JoinHostPort(address.Bare(s), ClusterPort)
}

// relateReplicas checks the options of replicas against one another.
func (q *QD) relateReplicas(r *review) {
	if len(q.ClusterPeers) == 0 {
		for _, o := range []struct{ name, value string }{
			{"cluster-address", q.ClusterAddress}, {"cluster-secret-file", q.ClusterSecretFile},
			{"cluster-tls-cert", q.ClusterTLSCert}, {"cluster-tls-key", q.ClusterTLSKey}, {"cluster-tls-ca", q.ClusterTLSCA},
			{"replicated-topics", strings.Join(q.ReplicatedTopics, ",")},
		} {
			if o.value != "" {
				r.mistake("--%s needs --cluster-peers, the list of all members of the set", o.name)
			}
		}
		return
	}
	for i, peer := range q.ClusterPeers {
		q.ClusterPeers[i] = withClusterPort(peer)
	}
	slices.Sort(q.ClusterPeers)
	if unique := slices.Compact(slices.Clone(q.ClusterPeers)); len(unique) < len(q.ClusterPeers) {
		r.mistake("--cluster-peers names a member twice: %s", strings.Join(q.ClusterPeers, ","))
	} else if n := len(unique); n != 3 && n != 5 && n != 7 {
		r.mistake("--cluster-peers must name 3 or 5 members (7 at most), this node among them, not %d: a set goes on while more than half of it is there, so that two survive no more than one", n)
	}
	q.relateOwnAddress(r)
	q.relateClusterAccess(r)
}

// relateOwnAddress finds out which of the peers this node is.
func (q *QD) relateOwnAddress(r *review) {
	list := strings.Join(q.ClusterPeers, ",")
	if q.ClusterAddress = withClusterPort(q.ClusterAddress); q.ClusterAddress != "" {
		if !slices.Contains(q.ClusterPeers, q.ClusterAddress) {
			r.mistake("--cluster-address=%s must be one of --cluster-peers, %s, letter for letter", q.ClusterAddress, list)
		}
		return
	}
	var own []string
	for _, peer := range q.ClusterPeers {
		if host, _, _ := net.SplitHostPort(peer); host == q.Hostname || host == q.BroadcastAddress {
			own = append(own, peer)
		}
	}
	if len(own) != 1 {
		r.mistake("--cluster-address must say which of --cluster-peers, %s, this node is: it cannot be told by its host name (%s) or broadcast address", list, q.Hostname)
		return
	}
	q.ClusterAddress = own[0]
}

// relateClusterAccess checks that members know one another.
func (q *QD) relateClusterAccess(r *review) {
	hasSecret, hasCert, hasKey, hasCA := q.ClusterSecretFile != "", q.ClusterTLSCert != "", q.ClusterTLSKey != "", q.ClusterTLSCA != ""
	switch usesTLS := hasCert || hasKey || hasCA; {
	case usesTLS && hasSecret:
		r.mistake("--cluster-secret-file and --cluster-tls-cert exclude each other: give all members one of the two")
	case usesTLS && !(hasCert && hasKey && hasCA):
		r.mistake("--cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca are needed together")
	case !usesTLS && !hasSecret && slices.ContainsFunc(q.ClusterPeers, func(peer string) bool { return !isLoopback(peer) }):
		r.mistake("--cluster-peers needs --cluster-secret-file or --cluster-tls-cert: else everybody who reaches %s may write to the set's topics", q.ClusterAddress)
	case !usesTLS && !hasSecret:
		r.warn("members of the set are not authenticated: everybody on this machine may write to its topics; --cluster-secret-file prevents it")
	}
}

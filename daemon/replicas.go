package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"qmq/broker"
	"qmq/cluster"
	"qmq/config"
	"qmq/internal/certs"
	"qmq/internal/names"
	"qmq/internal/version"
	"qmq/internal/vfs"
	"qmq/settings"
)

// openSet is the node's membership in a set of replicas, which listens for the other
// members and does nothing else yet; nil: it is in none.
func openSet(q *config.QD, s *security, log *slog.Logger) (*cluster.Set, error) {
	if len(q.ClusterPeers) == 0 {
		return nil, nil
	}
	dir := dataPath(q)
	o := cluster.Options{
		FS: vfs.OS, Dir: dir, Address: q.ClusterAddress, Peers: q.ClusterPeers,
		Number: q.ClusterNumber, Election: q.ClusterElectionTimeout, NoSync: q.ReplicaSync == config.SyncKernel,
		Patterns: q.ReplicatedTopics, LogBytes: q.ClusterLogBytes, SnapshotRate: q.ClusterSnapshotRate, ScrubRate: q.ClusterScrubRate,
		Space:  vfs.Volume(dir).Space,
		BootID: placeID(dir), MaxFrame: longestFrame(q), Version: version.Number, Logger: log,
	}
	if s.clusterSecret != nil {
		o.Secrets = s.clusterSecret.secrets
	}
	if s.clusterCerts != nil {
		o.Server = s.clusterCerts.Config()
		o.Client = func(address string) (*tls.Config, error) {
			host, _, err := net.SplitHostPort(address)
			return s.clusterCerts.ClientConfig(host), err
		}
	}
	var err error
	if o.Listener, err = listenForMembers(q.ClusterAddress); err != nil {
		return nil, err
	}
	log.Info("CLUSTER: listening on " + o.Listener.Addr().String())
	return cluster.New(o), nil
}

// replicaSync is when a publish to a replicated topic is OK'd.
func replicaSync(q *config.QD) settings.Sync {
	if q.ReplicaSync == config.SyncKernel {
		return settings.Interval
	}
	return settings.Always
}

// longestFrame is how long the longest batch of a publish is, and more.
func longestFrame(q *config.QD) int {
	const least, around = 64 << 20, 16 << 20
	return max(least, 2*max(q.MaxBodySize, q.MaxMsgSize)+around)
}

// listenForMembers listens on the address of a member: on all of the machine's where it
// is a name, which may stand for one that others do not see, or no address of this
// machine, as behind a translation of addresses.
func listenForMembers(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	everywhere := net.JoinHostPort("", port)
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
		return listen(everywhere)
	}
	l, err := listen(address)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return listen(everywhere)
	}
	return l, err
}

// hostOf is what a set needs of the node.
func hostOf(b *broker.Broker, q *config.QD, directory broker.Directory) cluster.Host {
	h := cluster.Host{
		Disk: b.Disk(), Common: b.TopicCommon(), SegmentBytes: q.MaxBytesPerFile, HotMessages: q.MemQueueSize,
		MaxTopics: q.MaxTopics, Directory: directory, NodeID: q.NodeID, HealthChanged: b.TakingChanged,
		Topic: b.Existing, Delete: b.DeleteTopic, SpaceShort: b.SpaceShort,
	}
	if q.AutoCreate {
		h.Elsewhere = directory.Elsewhere
	}
	for _, t := range b.Topics() {
		if !names.IsEphemeral(t.Name()) {
			h.Local = append(h.Local, t.Name())
		}
	}
	return h
}

// openClusterAccess reads what members of a set know one another by.
func (s *security) openClusterAccess(q *config.QD, log *slog.Logger) (err error) {
	if s.clusterSecret, err = openSecret("cluster-secret-file", q.ClusterSecretFile, clusterSecrets, log); err != nil {
		return err
	}
	if q.ClusterTLSCert == "" {
		return nil
	}
	warnReadable("cluster-tls-key", q.ClusterTLSKey, log)
	s.clusterCerts, err = certs.Open(certs.Options{
		CertFile: q.ClusterTLSCert, KeyFile: q.ClusterTLSKey, RootFile: q.ClusterTLSCA,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("failed to build TLS config of the cluster - %w", err)
	}
	return nil
}

// minClusterSecret is the least length of a secret of a set, in bytes: whoever takes
// part in a handshake may try secrets on it for as long as he likes.
const minClusterSecret = 16

// clusterSecrets is a file with a secret, and a second one while it is replaced.
func clusterSecrets(text string) (string, error) {
	list := lines(text)
	if len(list) == 0 || len(list) > 2 {
		return "", fmt.Errorf("must hold a line with a secret, or two, not %d", len(list))
	}
	for _, line := range list {
		if len(line) < minClusterSecret {
			return "", fmt.Errorf("each secret must have at least %d characters", minClusterSecret)
		}
	}
	return strings.Join(list, "\n"), nil
}

// lines are those that are not empty, without the white space around them.
func lines(text string) (list []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// secrets are those of clusterSecrets.
func (s *secret) secrets() (list [][]byte) {
	for _, line := range lines(s.now()) {
		list = append(list, []byte(line))
	}
	return list
}

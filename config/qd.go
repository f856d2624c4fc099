package config

import (
	"crypto/md5"
	"errors"
	"hash/crc32"
	"io/fs"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"qmq/internal/address"
	"qmq/settings"
)

// QD are the options of qd. They are nsqd's, with the same names, types and
// defaults, and a few of our own.
type QD struct {
	Common
	Replicas
	Hostname string // the machine's name; not an option
	NodeID   int    // 0 to 1023, part of message ids

	TCPAddress       string // host:port or the path of a unix socket
	HTTPAddress      string // the same; empty: no HTTP
	HTTPSAddress     string // host:port; serves only with a certificate
	SocketMode       string // of unix sockets, octal; empty: by the umask
	BroadcastAddress string // the host under which others reach this node

	// BroadcastTCPPort and BroadcastHTTPPort are the ports under which others
	// reach this node; 0 until [QD.Listening] fills them in.
	BroadcastTCPPort, BroadcastHTTPPort int

	BroadcastAddressesFor []string // texts of address.ParseView, see [QD.Views]

	DataPath        string // an existing directory; empty: the current one
	Import          ImportMode
	MemQueueSize    int   // newest messages kept in memory, per topic
	MemQueueBytes   int64 // bytes of memory for the newest messages of all topics
	MaxBytesPerFile int64 // size of a segment
	SyncEvery       int64 // records per fsync; 1: none is OK'd before it is synced
	SyncTimeout     time.Duration
	MinFreeBytes    int64 // that stay free on the disk; 0: no limit
	MinFreePercent  int   // of the disk; 0: no limit

	MaxMsgSize          int // bytes
	MaxBodySize         int // bytes
	MaxRdyCount         int64
	MaxChannelConsumers int // 0: no limit
	MaxConnections      int // 0: no limit
	MaxHTTPPolls        int // 0: nobody consumes over HTTP
	MaxHTTPLeases       int
	MaxUnfinishedBytes  int64
	MaxTopics           int  // 0: no limit
	MaxChannels         int  // of a topic; 0: no limit
	AutoCreate          bool // by clients and directories

	MsgTimeout           time.Duration // may be above MaxMsgTimeout, as in nsqd
	MaxMsgTimeout        time.Duration
	MaxReqTimeout        time.Duration
	MaxHeartbeatInterval time.Duration

	MaxOutputBufferSize    int // bytes
	OutputBufferTimeout    time.Duration
	MinOutputBufferTimeout time.Duration
	MaxOutputBufferTimeout time.Duration

	Deflate         bool
	MaxDeflateLevel int // 1 to 9
	Snappy          bool

	TLSCert             string // PEM file; empty: no TLS
	TLSKey              string // PEM file
	TLSRootCAFile       string // PEM file
	TLSClientAuthPolicy string // require, require-verify; all else asks for no certificate
	TLSRequired         TLSRequired
	TLSMinVersion       TLSVersion

	HTTPPeek bool   // everybody may peek
	HTTPAuth string // file of credentials; empty: the HTTP API is open

	AuthHTTPAddresses        []string // host:port or URL
	AuthHTTPRequestMethod    string   // get or post
	AuthVerifiedNames        bool     // the auth server gets names of verified certificates alone
	AuthTimeout              time.Duration
	HTTPClientConnectTimeout time.Duration
	HTTPClientRequestTimeout time.Duration

	LookupdTCPAddresses []string // may change
	// RegistrationSecretFile holds what lookup daemons may want to see; empty:
	// nothing.
	RegistrationSecretFile string
	TopologyRegion         string
	TopologyZone           string
	Experiments            []string

	OTLPEndpoint           string // URL of a collector; empty: nothing is traced
	StatsdAddress          string // empty: off
	StatsdPrefix           string // %s stands for the node until [QD.Listening] replaces it
	StatsdInterval         time.Duration
	StatsdMemStats         bool
	StatsdExcludeEphemeral bool
	StatsdUDPPacketSize    int // bytes

	// Settings are those of topics and channels by their names, from the file alone; nil:
	// there are none.
	Settings *settings.Rules

	SigTerm      SigTerm       // what SIGTERM does
	DrainTimeout time.Duration // how long a node that is drained waits for its consumers

	MetricsMaxTopics int // with series of their own in /metrics

	E2ELatencyPercentiles []float64 // of (0,1], descending
	E2ELatencyWindow      time.Duration
}

// ParseQD reads qd's command line, without the program's name, and the file
// that --config names. Without a mistake, ShowVersion may be set: then the file
// was not read. Otherwise the error is [ErrHelp] or [Mistakes].
func ParseQD(args []string) (*Settings[QD], error) {
	return parse[QD](args, hostname())
}

// UsageQD is the help text of qd, called by the name of program.
func UsageQD(program string) string {
	return usage(program, new(QD).declare(hostname())) +
		"\n" + program + " cluster force-new [flags] begins a new replicated set from what one member has, when more than\n" +
		"half of its set is lost for good; " + program + " cluster force-new --help explains it.\n"
}

// Bounds that do not follow from another option.
const (
	minSegment    = 64 << 10
	maxSegment    = 2 << 30       // positions within one take 32 bits
	maxMsgSize    = 1<<30 - 1<<20 // a record of 1 GiB, with room for its header and attributes
	maxBodySize   = math.MaxInt32 // what a frame can say
	nodeIDs       = 1 << 10       // what a message id has room for
	maxPort       = math.MaxUint16
	topologyAware = "topology-aware-consumption"
)

func (q *QD) declare(hostname string) []section {
	q.Hostname = hostname
	return []section{
		{"General", append(q.Common.options("[qd] "),
			bind(&q.NodeID, "node-id", whole[int]("number"), nodeIDOf(hostname), "part of message ids, different for each node; by default a hash of the host name", below(nodeIDs)).keyed("id"),
			ignored("worker-id", truth(), false).keyed(""),
			bind(&q.SigTerm, "sigterm", oneOf(sigTerms), SigTermStop, "what SIGTERM does: stop the node, or drain it, which refuses publishes and stops when consumers have emptied it; a second one stops at once"),
			bind(&q.DrainTimeout, "drain-timeout", span(), 10*time.Minute, "longest time that a node which is drained waits for its consumers; then it stops all the same", notNegative),
			bind(&q.Experiments, "enable-experiment", texts("name"), nil, "turn on an experiment: "+topologyAware),
		)},
		{"Addresses", q.addressOptions(hostname)},
		{"Storage", q.storageOptions()},
		{"Limits", q.limitOptions()},
		{"Output and compression", q.outputOptions()},
		{"TLS and authorization", q.securityOptions()},
		{"Lookup and topology", q.lookupOptions()},
		{"Replicated topics", q.Replicas.options()},
		{"Measurements", q.measurementOptions()},
	}
}

func (q *QD) addressOptions(hostname string) []*option {
	return []*option{
		bind(&q.TCPAddress, "tcp-address", text("address"), "0.0.0.0:4150", "where clients connect", notEmpty),
		bind(&q.HTTPAddress, "http-address", text("address"), "0.0.0.0:4151", "where HTTP is served: host:port, or the path of a unix socket; empty for nowhere", listensOrNot),
		bind(&q.HTTPSAddress, "https-address", text("address"), "0.0.0.0:4152", "where HTTPS is served, if there is a certificate: host:port", listensOrNot),
		bind(&q.SocketMode, "socket-mode", text("mode"), "", "mode of unix sockets, such as 0660: who may connect; by the umask if empty", octalMode),
		bind(&q.BroadcastAddress, "broadcast-address", text("host"), hostname, "name or address under which others reach this node; by default the host name", broadcastHost),
		bind(&q.BroadcastTCPPort, "broadcast-tcp-port", whole[int]("port"), 0, "TCP port that others are told; 0 for the one that is listened on", between(0, maxPort)),
		bind(&q.BroadcastAddressesFor, "broadcast-address-for", texts("FROM=HOST[:PORT[:HTTPPORT]]"), nil, "where lookup daemons are to say that this node is, to those who ask from the network FROM, or who call the daemon by the host behind @ (@127.0.0.1=node.example:5150); ports as announced if none are given; the first one that fits counts; NSQ's lookup daemons say it to nobody", views),
		bind(&q.BroadcastHTTPPort, "broadcast-http-port", whole[int]("port"), 0, "HTTP port that others are told; 0 for the one that is listened on", between(0, maxPort)),
	}
}

func (q *QD) storageOptions() []*option {
	return []*option{
		bind(&q.DataPath, "data-path", text("directory"), "", "existing directory for messages and state; the current one if empty"),
		bind(&q.Import, "import", oneOf(importModes), ImportOn, "what becomes of the data that an nsqd left in --data-path, where Q has none yet: on imports it, off leaves it alone, dry-run prints what an import would do and starts nothing"),
		bind(&q.MemQueueSize, "mem-queue-size", whole[int]("messages"), 10000, "newest messages of each topic that are kept in memory as well as on disk"),
		bind(&q.MemQueueBytes, "mem-queue-bytes", whole[int64]("bytes"), 256<<20, "memory for the newest messages of all topics together", atLeast[int64](0)),
		bind(&q.MaxBytesPerFile, "max-bytes-per-file", whole[int64]("bytes"), 100<<20, "size of a segment file", between[int64](minSegment, maxSegment)),
		bind(&q.SyncEvery, "sync-every", whole[int64]("messages"), 2500, "unfinished messages per fsync of a topic; 1: none is OK'd before it is synced", atLeast[int64](0)),
		bind(&q.SyncTimeout, "sync-timeout", span(), 2*time.Second, "longest time between fsyncs of a topic that is written to", positive),
		bind(&q.MinFreeBytes, "min-free-bytes", whole[int64]("bytes"), 0, "room that is to stay free on the disk: publishes are refused while there is less; 0 for no limit", atLeast[int64](0)),
		bind(&q.MinFreePercent, "min-free-percent", whole[int]("per cent"), 0, "the same, as a part of the disk; the larger of both counts, 0 for no limit", between(0, 99)),
		ignored("queue-scan-worker-pool-max", whole[int]("number"), 4),
		ignored("queue-scan-selection-count", whole[int]("number"), 20),
	}
}

func (q *QD) limitOptions() []*option {
	return []*option{
		bind(&q.MaxMsgSize, "max-msg-size", whole[int]("bytes"), 1<<20, "longest message", between(1, maxMsgSize)),
		bind(&q.MaxBodySize, "max-body-size", whole[int]("bytes"), 5<<20, "longest body of a command other than PUB and DPUB", between(1, maxBodySize)),
		bind(&q.MaxRdyCount, "max-rdy-count", whole[int64]("messages"), 2500, "highest RDY count", atLeast[int64](1)),
		bind(&q.MaxChannelConsumers, "max-channel-consumers", whole[int]("consumers"), 0, "most consumers of one channel; 0 for no limit", atLeast(0)),
		bind(&q.MaxConnections, "max-connections", whole[int]("connections"), 0, "most connections at a time, TCP and HTTP together; 0 for no limit", atLeast(0)),
		bind(&q.MaxHTTPPolls, "max-http-polls", whole[int]("requests"), 1000, "most requests of POST /sub at a time, which consume over HTTP; 0: nobody may", atLeast(0)),
		bind(&q.MaxHTTPLeases, "max-http-leases", whole[int]("messages"), 100000, "most messages at a time that are in flight at clients that consume over HTTP", atLeast(1)),
		bind(&q.MaxTopics, "max-topics", whole[int]("topics"), 0, "topics, beyond which none is created; 0 for no limit", atLeast(0)),
		bind(&q.MaxChannels, "max-channels", whole[int]("channels"), 0, "channels of a topic, beyond which none is created; 0 for no limit", atLeast(0)),
		bind(&q.AutoCreate, "auto-create", truth(), true, "create topics and channels when clients publish or subscribe to them, or lookup daemons know them; else only over HTTP"),
		bind(&q.MaxUnfinishedBytes, "max-unfinished-bytes", whole[int64]("bytes"), 256<<20, "memory for commands and bodies that have not come in full, of all connections together; where it is used up, the longest wait", atLeast[int64](1<<20)),
		bind(&q.MsgTimeout, "msg-timeout", span(), time.Minute, "time a consumer has for a message unless it asks for another", timeout),
		bind(&q.MaxMsgTimeout, "max-msg-timeout", span(), 15*time.Minute, "longest time a consumer may ask for", timeout),
		bind(&q.MaxReqTimeout, "max-req-timeout", span(), time.Hour, "longest delay of a deferred or requeued message", delay),
		bind(&q.MaxHeartbeatInterval, "max-heartbeat-interval", span(), time.Minute, "longest heartbeat interval a client may ask for", positive),
	}
}

func (q *QD) outputOptions() []*option {
	return []*option{
		bind(&q.MaxOutputBufferSize, "max-output-buffer-size", whole[int]("bytes"), 64<<10, "largest output buffer a client may ask for", atLeast(1)),
		bind(&q.OutputBufferTimeout, "output-buffer-timeout", span(), 250*time.Millisecond, "output buffer timeout of clients that ask for none", notNegative),
		bind(&q.MinOutputBufferTimeout, "min-output-buffer-timeout", span(), 25*time.Millisecond, "shortest output buffer timeout a client may ask for", notNegative),
		bind(&q.MaxOutputBufferTimeout, "max-output-buffer-timeout", span(), 30*time.Second, "longest output buffer timeout a client may ask for", notNegative),
		bind(&q.Deflate, "deflate", truth(), true, "offer deflate compression"),
		bind(&q.MaxDeflateLevel, "max-deflate-level", whole[int]("level"), 6, "highest compression level a client may ask for", between(1, 9)),
		bind(&q.Snappy, "snappy", truth(), true, "offer snappy compression"),
	}
}

func (q *QD) securityOptions() []*option {
	return []*option{
		bind(&q.TLSCert, "tls-cert", text("file"), "", "certificate (PEM)").guards().orNoneInFileWith("tls-key"),
		bind(&q.TLSKey, "tls-key", text("file"), "", "key of the certificate (PEM)").guards().orNoneInFileWith("tls-cert"),
		bind(&q.TLSRootCAFile, "tls-root-ca-file", text("file"), "", "roots for certificates of clients, of the auth server and of lookup daemons (PEM)").guards(),
		bind(&q.TLSClientAuthPolicy, "tls-client-auth-policy", text("word"), "", "require: clients need a certificate; require-verify: one that chains to a root; else none is asked for").guards().orNone(),
		bind(&q.TLSRequired, "tls-required", tlsRequirement(), TLSNotRequired, "who must use TLS: true for all, tcp-https for all but plain HTTP").guards(),
		bind(&q.TLSMinVersion, "tls-min-version", tlsVersion(), safestTLS, "oldest version that is spoken"),
		bind(&q.HTTPPeek, "http-peek", truth(), false, "let everybody who reaches the HTTP API look at messages (/channel/peek); else only those on this machine may, and with --http-auth those with the role"),
		bind(&q.HTTPAuth, "http-auth", text("file"), "", "credentials for the HTTP API, one on each line: roles (read, stats, peek, publish, consume, admin), bearer and a digest, or basic, a user and a digest (sha256: and hex; bcrypt for users); the API is open if empty").guards(),
		bind(&q.AuthHTTPAddresses, "auth-http-address", texts("address"), nil, "auth server", noneEmpty).keyed("auth_http_addresses").guards(),
		bind(&q.AuthHTTPRequestMethod, "auth-http-request-method", text("word"), "get", "how the auth server is asked", requestMethods),
		bind(&q.AuthVerifiedNames, "auth-verified-names", truth(), false, "tell the auth server the common name of a client's certificate only if its chain was verified"),
		bind(&q.AuthTimeout, "auth-timeout", span(), 30*time.Second, "time from its connection that a client has for AUTH; counts only with --auth-http-address", positive),
		bind(&q.HTTPClientConnectTimeout, "http-client-connect-timeout", span(), 2*time.Second, "time to connect to a lookup or auth server; 0 for no limit", notNegative),
		bind(&q.HTTPClientRequestTimeout, "http-client-request-timeout", span(), 5*time.Second, "time for an answer of a lookup or auth server; 0 for no limit", notNegative),
	}
}

func (q *QD) lookupOptions() []*option {
	return []*option{
		bind(&q.LookupdTCPAddresses, "lookupd-tcp-address", texts("host:port"), nil, "lookup daemon that is told about topics and channels; a name with several addresses stands for all of them", directories).keyed("nsqlookupd_tcp_addresses").changeable(),
		registrationSecret(&q.RegistrationSecretFile, "file with the secret that is shown to lookup daemons, which may want it before they list a node"),
		bind(&q.TopologyRegion, "topology-region", text("name"), "", "region of this node"),
		bind(&q.TopologyZone, "topology-zone", text("name"), "", "zone of this node"),
	}
}

func (q *QD) measurementOptions() []*option {
	return []*option{
		bind(&q.OTLPEndpoint, "otlp-endpoint", text("URL"), "", "OpenTelemetry collector that is sent spans of messages whose traceparent says that they are recorded, over OTLP with HTTP, such as http://127.0.0.1:4318", webAddress),
		bind(&q.StatsdAddress, "statsd-address", text("host:port"), "", "statsd daemon (UDP)", hostPort),
		bind(&q.StatsdPrefix, "statsd-prefix", text("text"), "nsq.%s", "start of statsd keys; %s stands for this node"),
		bind(&q.StatsdInterval, "statsd-interval", span(), time.Minute, "time between two reports", positive),
		bind(&q.StatsdMemStats, "statsd-mem-stats", truth(), true, "report memory and garbage collection too"),
		bind(&q.StatsdExcludeEphemeral, "statsd-exclude-ephemeral", truth(), false, "leave out #ephemeral topics and channels"),
		bind(&q.StatsdUDPPacketSize, "statsd-udp-packet-size", whole[int]("bytes"), 508, "longest datagram", atLeast(1)),
		bind(&q.MetricsMaxTopics, "metrics-max-topics", whole[int]("topics"), 1000, "topics that have series of their own in /metrics, with their channels; the others are summed as other", atLeast(0)),
		bind(&q.E2ELatencyPercentiles, "e2e-processing-latency-percentile", fractions("fraction"), nil, "percentiles of the time from publish to FIN that are kept, with commas between them", percentiles).keyed("e2e_processing_latency_percentiles"),
		bind(&q.E2ELatencyWindow, "e2e-processing-latency-window-time", span(), 10*time.Minute, "time over which they are taken", positive),
	}
}

// Views are where lookup daemons are to say that this node is, to some.
func (q *QD) Views() (list []address.View) {
	for _, text := range q.BroadcastAddressesFor {
		if v, err := address.ParseView(text); err == nil { // else it is told as a mistake
			list = append(list, v)
		}
	}
	return list
}

// SocketPermissions is SocketMode; nil: none is given.
func (q *QD) SocketPermissions() *fs.FileMode {
	mode, err := parseMode(q.SocketMode)
	if err != nil || q.SocketMode == "" {
		return nil
	}
	return &mode
}

// TopologyAware tells whether the experiment of that name is on.
func (q *QD) TopologyAware() bool { return slices.Contains(q.Experiments, topologyAware) }

// nodeIDOf spreads hosts over the ids, the way nsqd does.
func nodeIDOf(hostname string) int {
	sum := md5.Sum([]byte(hostname))
	return int(crc32.ChecksumIEEE(sum[:]) % nodeIDs)
}

// relate checks options against one another. What nsqd takes and can live with
// is no mistake here.
func (q *QD) relate(r *review) {
	if q.SyncEvery == 0 {
		q.SyncEvery = 1
		r.warn("--sync-every=0 is taken as 1: each message is synced before it is OK'd")
	}
	if q.MemQueueSize < 0 {
		q.MemQueueSize = 0
		r.warn("a negative --mem-queue-size is taken as 0")
	}
	relateBroadcast(r, &q.BroadcastAddress, q.Hostname, "consumers")
	for _, v := range q.Views() {
		if address.IsUnspecified(v.Host) {
			r.warn("--broadcast-address-for=%s=%s is no address that others can connect to", v.From, v.Host)
		}
	}
	if q.MsgTimeout > q.MaxMsgTimeout {
		r.warn("--msg-timeout (%s) is above --max-msg-timeout (%s), so that no consumer may ask for as much as it gets by default",
			showSpan(q.MsgTimeout), showSpan(q.MaxMsgTimeout))
	}
	if q.MinOutputBufferTimeout > q.MaxOutputBufferTimeout {
		r.mistake("--min-output-buffer-timeout must be at most --max-output-buffer-timeout (%s), not %s",
			showSpan(q.MaxOutputBufferTimeout), showSpan(q.MinOutputBufferTimeout))
	}
	for _, name := range q.Experiments {
		if name != topologyAware {
			r.warn("there is no experiment %s, only %s", quote(name), topologyAware)
		}
	}
	warnOfPath(r, "tcp-address", q.TCPAddress)
	warnOfPath(r, "http-address", q.HTTPAddress)
	warnOfPath(r, "https-address", q.HTTPSAddress)
	q.relateTLS(r)
	q.relateReplicas(r)
	q.relateSettings(r)
	if q.DataPath != "" {
		info, err := os.Stat(q.DataPath)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir():
			r.mistake("--data-path must be an existing directory: %s", q.DataPath)
		case err != nil:
			r.mistake("--data-path must be an existing directory: %w", err)
		}
	}
}

func (q *QD) relateTLS(r *review) {
	if q.TLSClientAuthPolicy != "" && q.TLSRequired == TLSNotRequired {
		q.TLSRequired = TLSRequiredAlways
	}
	if policies := []string{"", "require", "require-verify"}; !slices.Contains(policies, q.TLSClientAuthPolicy) {
		r.warn("--tls-client-auth-policy=%s asks for no certificate; require and require-verify do", quoteIfNeeded(q.TLSClientAuthPolicy))
	}
	if q.TLSClientAuthPolicy == "require-verify" && q.TLSRootCAFile == "" {
		r.warn("--tls-client-auth-policy=require-verify without --tls-root-ca-file takes every certificate that chains to a root of the system")
	}
	if q.TLSClientAuthPolicy == "require" && len(q.AuthHTTPAddresses) > 0 && !q.AuthVerifiedNames {
		r.warn("--tls-client-auth-policy=require verifies no certificate, and the auth server is told names that clients may have made up; --auth-verified-names or require-verify prevent it")
	}
	if q.TLSMinVersion < safestTLS {
		r.warn("--tls-min-version=%s allows clients versions of TLS that are known to be weak", wordFor(tlsVersions, q.TLSMinVersion).text)
	}
	switch hasCert, hasKey := q.TLSCert != "", q.TLSKey != ""; {
	case hasCert && !hasKey:
		r.mistake("failed to build TLS config - --tls-cert needs --tls-key")
	case hasKey && !hasCert:
		r.mistake("failed to build TLS config - --tls-key needs --tls-cert")
	case !hasCert && q.TLSRequired != TLSNotRequired:
		r.mistake("cannot require TLS client connections without TLS key and cert")
	}
}

// Listening fills in what is known once the listeners are open: broadcast
// ports that were left at 0, and the node's name in the statsd prefix. A port
// that is not positive (no such listener, or a unix socket) leaves 0.
func (q *QD) Listening(tcpPort, httpPort int) {
	if q.BroadcastTCPPort == 0 {
		q.BroadcastTCPPort = max(tcpPort, 0)
	}
	if q.BroadcastHTTPPort == 0 {
		q.BroadcastHTTPPort = max(httpPort, 0)
	}
	if q.StatsdPrefix == "" {
		return
	}
	node := net.JoinHostPort(q.BroadcastAddress, strconv.Itoa(q.BroadcastHTTPPort))
	node = strings.NewReplacer(".", "_", ":", "_").Replace(node)
	q.StatsdPrefix = strings.TrimSuffix(strings.ReplaceAll(q.StatsdPrefix, "%s", node), ".") + "."
}

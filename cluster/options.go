package cluster

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/topic"
)

// Level is the highest feature level that this version knows.
const Level = 9

// levelOfSettings is the lowest at which all members keep what is set of topics.
const levelOfSettings = 2

// levelOfLimits is the lowest at which all members understand that a topic is full.
const levelOfLimits = 3

// levelOfRetention is the lowest at which all members keep what is to be retained,
// and know of channels that are rewound or begin with it.
const levelOfRetention = 4

// levelOfDedup is the lowest at which all members leave doubles out.
const levelOfDedup = 5

// levelOfStamps is the lowest at which all members say by which settings what they publish
// was stamped.
const levelOfStamps = 6

// levelOfTime is the lowest at which all members know the time of a shard.
const levelOfTime = 7

// levelOfReplays is the lowest at which all members know who asked for a channel to begin
// somewhere.
const levelOfReplays = 8

// levelOfNames is the lowest at which all members know of names that are wanted before they
// stay local.
const levelOfNames = 9

// Shards is in how many shards the topics are. It is the same for ever: it says where
// a topic is.
const Shards = 12

// Options configure a member.
type Options struct {
	FS  vfs.FS
	Dir string // the node's data directory, locked by this process when Start is called

	Address  string       // of this member, one of Peers
	Peers    []string     // host:port of all first members, sorted
	Listener net.Listener // for the other members; Stop closes it
	// Dial connects to the address of another member; nil: over TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	Secrets func() [][]byte // see link.Options; nil without
	Server  *tls.Config
	Client  func(address string) (*tls.Config, error)

	Number   int           // of a new set; negative: made of its id
	Election time.Duration // a leader is silent for so long until another is elected
	// ClaimsWithin is how long a new leader waits for what clients of the other members hold
	// before it delivers; 0: as relay.Options has it.
	ClaimsWithin time.Duration
	// AwayWithin is how long what clients of another member hold stays theirs when the link to
	// it has broken; 0: as relay.Options has it.
	AwayWithin time.Duration
	// NoSync has members acknowledge what the kernel has, not the disk.
	NoSync   bool
	Patterns []string // of replicated topics of a new set; none: all
	LogBytes int64    // for members that are behind
	// LogFileBytes is how long a file of the node's log is. The reserve for a full disk is
	// twice that. 0: 64 MiB.
	LogFileBytes int64
	// SnapshotRate is how many bytes a second of snapshots and backups this member gives at
	// most, and a fourth of it at least while its log waits for the disk longer than usual,
	// so that what is published meanwhile goes through; 0: that is not limited.
	SnapshotRate int64

	// ScrubRate is how many bytes a second of the replicated topics' logs are read to find
	// what the disk has lost; 0: they are not.
	ScrubRate int64

	// Space tells how much room there is on the file system of Dir; nil: that is not known.
	Space func() (vfs.Space, error)

	BootID   string // tells this boot of the machine from others; empty: unknown
	MaxFrame int    // longest batch and more, in bytes
	Version  string // of the program, for people

	Logger *slog.Logger
}

// Host is the node that a member is part of.
type Host struct {
	Disk         *diskqueue.Shared
	Common       *topic.Common
	SegmentBytes int64
	HotMessages  int // newest messages in memory, per topic that is served
	MaxTopics    int // replicated ones; 0: no limit
	// Local are the names of the topics that the node has for itself alone, Topic finds
	// one later, and Delete ends it.
	Local  []string
	Topic  func(name string) (t *topic.Topic, ok bool)
	Delete func(name string) error
	NodeID int // in ids of messages of local topics
	// SpaceShort says that less of the disk is free than the node is to keep; nil: it
	// keeps nothing.
	SpaceShort func() bool
	// HealthChanged is called when Set.Health may say something else; it must not wait;
	// nil: nobody is told.
	HealthChanged func()
	// Directory is told which replicated topics and channels there are; nil: nobody is.
	Directory Directory
	// Elsewhere says which channels a topic has that the set does not have, see
	// broker.Directory; nil: nobody is asked.
	Elsewhere func(ctx context.Context, topic string) (channels map[string]bool, paused bool, err error)
}

// Directory is the part of broker.Directory that is told what there is.
type Directory interface {
	Register(topic string, incarnation uint64, channel string)
	Unregister(topic string, incarnation uint64, channel string)
}

// Package broker is the registry of a node's topics: it finds and creates
// them, brings them back at start, deletes them, and knows whether the node
// can store messages. It touches no message.
//
// It has goroutines in the background only while there is work for them: one
// probes the logs that refuse to be written, others remove what was deleted or
// ask for the channels of new topics.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/internal/vfs"
	"qmq/journal"
	"qmq/settings"
	"qmq/state"
	"qmq/topic"
)

// ErrNoTopic means that there is no topic of that name.
var ErrNoTopic = errors.New("no such topic")

// Options configure a broker.
type Options struct {
	FS       vfs.FS
	DataPath string // must exist
	NodeID   uint16

	SegmentBytes int64 // size of a full segment file
	HotBytes     int64 // memory of all topics' newest messages
	MemQueueSize int   // newest messages kept in memory, per topic
	SyncEvery    int64 // see topic.Options
	SyncTimeout  time.Duration

	// BootID tells this boot of the machine from others; empty: unknown.
	BootID string
	// JournalReserve is the room that the journal keeps on the disk, see
	// journal.Options.
	JournalReserve int64

	MsgTimeout          time.Duration // of consumers that ask for none
	MaxMsgTimeout       time.Duration
	MaxReqTimeout       time.Duration
	MaxChannelConsumers int             // 0: no limit
	MaxTopics           int             // that there are when another one is made; 0: no limit
	MaxChannels         int             // of a topic, in the same way; 0: no limit
	MaxIDs              int64           // by which doubles of a topic are known, at most; 0: as many as there may be
	Settings            *settings.Rules // of topics and channels by their names; nil: there are none
	NoAutoCreate        bool            // clients and directories make no topics and channels
	LatencyWindow       time.Duration   // times from publish to FIN are kept for; 0: not at all

	// Volume tells how much room there is on the file system of the data directory; nil:
	// it is not known. SpaceLimits say how much of it is to stay free.
	Volume      Volume
	SpaceLimits SpaceLimits

	// Directory is told of topics and channels; nil: nobody is.
	Directory Directory

	// Replicas are the topics that are kept together with other nodes; nil: there
	// are none. ReplicaSync is when a publish to them is OK'd; empty: settings.Always.
	Replicas    Replicas
	ReplicaSync settings.Sync

	Logger *slog.Logger
}

// Broker is a node's topics. All methods may be called concurrently.
type Broker struct {
	o         Options
	start     time.Time
	clock     *clock.Clock
	deadlines *deadline.Queue
	// unclaimedTimer is when it is looked for ephemeral topics without a channel again.
	unclaimedTimer *deadline.Timer
	lock           io.Closer
	journal        *journal.Journal
	cleaner        *topic.Cleaner
	// deadLetters publishes what channels give up. routing is held while it is changed
	// where a channel's dead letters go, across the journal's write.
	deadLetters *topic.DeadLetters
	routing     sync.Mutex
	puttingBack sync.Mutex // serialises PutBackOne and PutBackAll, across publishes
	// freeing is held by the one who makes room on a full disk.
	freeing sync.Mutex
	common  *topic.Common // set by Open
	disk    *diskqueue.Shared
	memory  *diskqueue.Shared // of ephemeral topics
	last    atomic.Uint64     // incarnation given out last

	door         door
	refused      refused
	spaceUnknown atomic.Bool // that it could not be told how much room there is was logged

	adopting      sync.Mutex // serialises Adopt
	damage        *register
	acknowledging sync.Mutex // serialises AcknowledgeDamage, across the journal's write
	// sameBoot says that the machine was not down since the last process wrote.
	// Open sets it.
	sameBoot bool
	// reconstructed are the incarnations of topics and channels that the journal
	// had lost. Open fills it; later it is only read.
	reconstructed map[uint64]bool

	// mu guards what follows: which topics there are, and what is wrong with the
	// node. Of a topic only Failure is called under it, which takes a lock of its own
	// for a moment: topics hold Topic.changing at most when they call the broker.
	mu       sync.Mutex
	closed   bool
	topics   map[string]*listing
	skipped  []state.Entry          // what the journal has to be told of logs that were opened
	partly   bool                   // some of them could not be read whole
	refusing map[*topic.Topic]error // logs that cannot be written
	unread   map[reading]error      // channels whose messages cannot be read
	journals error                  // why the journal cannot be written
	probing  bool
	watching bool // unclaimedTimer is armed
	// unclaimed are the ephemeral topics without a channel, as of the last look, with how many
	// messages they had got.
	unclaimed map[*topic.Topic]uint64
	// background is the removal of directories and of abandoned topics, the look for those
	// that nobody consumes, and the prober. It grows under mu and only while closed is false, or while
	// a listing is going that Close waits for.
	background sync.WaitGroup
	ctx        context.Context // done when Close begins
	stop       context.CancelFunc
	metadata   snapshotWriter // writes metadata.json
	damages    snapshotWriter // writes damage.json
	// unlearnt are the topics whose channels nobody could tell yet; nil when
	// there is no goroutine that asks for them.
	unlearnt map[*topic.Topic]struct{}
}

// Open takes the data directory for this process, brings back what is in it,
// and removes what deletions left. Neither damage nor a full disk stops it,
// another error of the file system does.
func Open(o Options) (*Broker, error) {
	lock, err := o.FS.Lock(o.DataPath)
	if err != nil {
		return nil, fmt.Errorf("failed to lock data-path: %w", err)
	}
	b := &Broker{
		o: o, start: time.Now(), clock: clock.New(), lock: lock,
		topics: make(map[string]*listing), refusing: make(map[*topic.Topic]error), unread: make(map[reading]error),
	}
	b.damage = newRegister(b.clock.Wall, b.damages.changed)
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.deadlines = deadline.New(b.clock)
	b.unclaimedTimer = b.deadlines.NewTimer(b.unclaimedDue)
	if err := b.open(); err != nil {
		b.stop()
		b.deadlines.Close()
		return nil, errors.Join(err, lock.Close())
	}
	return b, nil
}

func (b *Broker) open() (err error) {
	b.disk = diskqueue.NewShared(diskqueue.SharedOptions{
		FS: b.o.FS, RecycleDir: filepath.Join(b.o.DataPath, "recycled"), RecycleFiles: recycledFiles(b.o.SegmentBytes),
		HotBytes: b.o.HotBytes, Logger: b.o.Logger,
	})
	b.metadata = snapshotWriter{fs: b.disk.FS(), path: filepath.Join(b.o.DataPath, metadataName), pause: metadataPause, content: b.writeMetadata, logger: b.o.Logger}
	b.damages = snapshotWriter{fs: b.disk.FS(), path: b.damagePath(), pause: damagePause, content: b.writeDamage, logger: b.o.Logger}
	b.memory = b.disk.InMemory(vfs.NewMem())
	if err := b.o.FS.MkdirAll(b.topicsDir()); diskFull(err) {
		b.o.Logger.Warn("there is no room for the directory of topics", "error", err)
	} else if err != nil {
		return err
	}
	var found *journal.Found
	b.journal, found, err = journal.Open(journal.Options{
		FS: b.disk.FS(), Dir: b.dir().journal(), SyncTopology: b.o.SyncEvery == 1,
		SyncEvery: b.o.SyncTimeout, BootID: b.o.BootID, Reserve: b.o.JournalReserve,
		Logger: b.o.Logger, OnHealth: b.journalHealth,
	})
	if err != nil {
		return err
	}
	b.disk.FillReserve()
	b.cleaner = topic.NewCleaner(b.journal, b.o.Logger)
	b.deadLetters = topic.NewDeadLetters(b.clock.Wall, b.publishDeadLetters, b.o.Logger)
	b.common = b.commonOptions()
	b.tellUnmet()
	if err := b.restore(found); err != nil {
		b.stop()
		for _, t := range b.Topics() {
			t.Discard()
		}
		b.cleaner.Close()
		err = errors.Join(err, b.journal.Close())
		b.background.Wait()
		return err
	}
	b.tellRounds()
	b.deadLetters.Begin()
	b.metadata.changed()
	b.metadata.start()
	b.damages.start()
	b.startWatchingRoom()
	return nil
}

// diskFull says that the disk, or the share of it that one may use, is full.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// recycledFiles is how many segment files wait to be used again: small ones are
// finished many at a time.
func recycledFiles(segmentBytes int64) int {
	const bytes, minFiles, maxFiles = 64 << 20, 4, 256
	return int(min(max(bytes/max(segmentBytes, 1), minFiles), maxFiles))
}

// dir is the data directory.
func (b *Broker) dir() dataDir { return dataDir{b.disk.FS(), b.o.DataPath} }

func (b *Broker) topicsDir() string { return b.dir().topics() }

func (b *Broker) logDir(name string, incarnation uint64) string {
	return b.dir().log(name, incarnation)
}

// StartTime is when the broker was opened.
func (b *Broker) StartTime() time.Time { return b.start }

// NodeID is the node's part of message ids.
func (b *Broker) NodeID() uint16 { return b.o.NodeID }

// Clock is the clock that delays and timeouts run on.
func (b *Broker) Clock() *clock.Clock { return b.clock }

// newIncarnation returns a number that no topic or channel had or will have.
func (b *Broker) newIncarnation() uint64 {
	for {
		last := b.last.Load()
		next := max(last+1, uint64(b.clock.Wall()))
		if b.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Close ends all topics, brings everything to disk and gives the directory
// up. Publishes and consumers must have ended. It waits for a slow disk for so
// long only: what is not synced by then is written, and safe unless the machine
// loses its power.
func (b *Broker) Close() error {
	if !b.beginClose() {
		return nil
	}
	b.waitForListings()
	s := &stopping{b: b, topics: b.Topics()}
	errs := []error{s.stopTopics()}
	s.within("removal of what is finished", b.cleaner.Close)
	s.within("dead letters", b.deadLetters.Close) // their channels are closed
	// The journal's last checkpoint comes before the logs close: it asks the
	// channels, which need no log for that.
	errs = append(errs, b.journal.Close())
	errs = append(errs, s.closeLogs())
	s.within("removal of what was deleted", b.background.Wait)
	b.metadata.close()
	b.damages.close()
	b.deadlines.Close()
	errs = append(errs, b.lock.Close())
	return errors.Join(errs...)
}

// beginClose says whether this is the first Close.
func (b *Broker) beginClose() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.closed = true
	b.stop()
	return true
}

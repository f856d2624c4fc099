package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/internal/names"
	"qmq/internal/vfs"
)

// metadataFile is metadata.json: the topology in a form that people and tools can
// read. Where it tells of more than the journal does, that was damaged.
type metadataFile struct {
	// Journal is the log that the journal wrote to when the file was begun: the
	// file tells of everything that is in earlier ones.
	Journal uint64          `json:"journal"`
	Topics  []metadataTopic `json:"topics"`
	// JournalEnd is a length that this log had when the file was begun, and has on
	// the disk if Synced: what the file tells of is not behind it. 0: it is not known.
	JournalEnd int64 `json:"journal_end"`
	// Synced says that the journal had all of this on the disk before the file
	// was put in place.
	Synced bool `json:"synced"`
}

type metadataTopic struct {
	Name        string            `json:"name"`
	Incarnation hexNumber         `json:"incarnation"`
	Paused      bool              `json:"paused"`
	Settings    string            `json:"settings,omitempty"` // what was set of it, a JSON object as text
	Channels    []metadataChannel `json:"channels"`
}

type metadataChannel struct {
	Name        string    `json:"name"`
	Incarnation hexNumber `json:"incarnation"`
	Paused      bool      `json:"paused"`
	Settings    string    `json:"settings,omitempty"`
}

// hexNumber is written as in the names of directories: tools that take every
// number for a float would round it.
type hexNumber uint64

// MarshalText writes 16 digits.
func (n hexNumber) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(n)), nil }

// UnmarshalText reads what MarshalText writes.
func (n *hexNumber) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 16, 64)
	*n = hexNumber(v)
	return err
}

const metadataName = "metadata.json"

const (
	// snapshotDelay gathers changes that come together into one write.
	snapshotDelay = 50 * time.Millisecond
	// metadataPause and damagePause are how long after a write there is no other.
	// What was found is told nowhere else, once those who lost it have passed it.
	metadataPause = time.Second
	damagePause   = 50 * time.Millisecond
)

// snapshotWriter writes a file a little after what it tells of has changed.
type snapshotWriter struct {
	fs      vfs.FS
	path    string
	pause   time.Duration // after a write
	content func(io.Writer) error
	logger  *slog.Logger

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	ready   bool // there is something to tell of
	stale   bool // it says what is not so
	wrote   time.Time
	closed  bool
	writing sync.Mutex // held while the file is written; taken before mu
}

// start lets the file be written, and has it written if something has changed.
func (w *snapshotWriter) start() {
	w.mu.Lock()
	stale := w.stale
	w.ready = true
	w.mu.Unlock()
	if stale {
		w.changed()
	}
}

// flush writes the file now unless it says what is so, also before start. It says
// whether the file does.
func (w *snapshotWriter) flush() (written bool) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.write()
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.stale
}

// changed says that what the file says is not so any more.
func (w *snapshotWriter) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale = true
	if w.closed || !w.ready || w.timer != nil {
		return
	}
	w.timer = time.AfterFunc(max(snapshotDelay, time.Until(w.wrote.Add(w.pause))), w.due)
}

// due is called by the timer.
func (w *snapshotWriter) due() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	w.timer = nil
	closed := w.closed
	w.mu.Unlock()
	if !closed {
		w.write()
	}
}

// close writes the last state. Nothing is written after it.
func (w *snapshotWriter) close() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	w.closed = true
	ready := w.ready
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	if ready {
		w.write()
	}
}

// write writes the file unless it says what is so. The caller holds w.writing.
func (w *snapshotWriter) write() {
	w.mu.Lock()
	stale := w.stale
	w.stale = false
	w.mu.Unlock()
	if !stale {
		return
	}
	err := replaceFile(w.fs, w.path, w.content)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote = time.Now()
	if err != nil {
		w.stale = true
		w.logger.Warn("not written", "path", w.path, "error", err)
	}
}

// writeMetadata writes the topics one by one: the whole of a large node's
// metadata would take megabytes.
func (b *Broker) writeMetadata(w io.Writer) error {
	var text bytes.Buffer
	encode := json.NewEncoder(&text)
	encode.SetIndent("    ", "  ")
	mt := metadataTopic{Channels: []metadataChannel{}}
	first := true
	// An error comes back with a later write.
	log, reached := b.journal.Position()
	fmt.Fprintf(w, "{\n  \"journal\": %d,\n  \"topics\": [", log)
	for _, s := range b.durableListings() {
		s.describe(&mt)
		text.Reset()
		if err := encode.Encode(&mt); err != nil {
			return err
		}
		separator := ",\n    "
		if first {
			separator, first = "\n    ", false
		}
		io.WriteString(w, separator)
		w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	}
	end := "\n  ]"
	if first {
		end = "]"
	}
	synced := b.journal.Durable() == nil
	if synced { // what channels say behind the last commit need not be
		reached = min(reached, b.journal.OnDisk(log))
	}
	_, err := fmt.Fprintf(w, "%s,\n  \"journal_end\": %d,\n  \"synced\": %t\n}\n", end, reached, synced)
	return err
}

// describe fills mt with what is known of a topic.
func (s *listing) describe(mt *metadataTopic) {
	mt.Channels = mt.Channels[:0]
	if s.unopened != nil {
		ts := s.unopened
		mt.Name, mt.Incarnation, mt.Paused, mt.Settings = ts.Name, hexNumber(ts.Incarnation), ts.Paused, ts.Settings
		for _, c := range ts.Channels {
			mt.Channels = append(mt.Channels, metadataChannel{c.Name, hexNumber(c.Incarnation), c.Paused, c.Settings})
		}
		slices.SortFunc(mt.Channels, func(a, b metadataChannel) int { return strings.Compare(a.Name, b.Name) })
		return
	}
	t := s.topic
	set, _ := t.Config()
	mt.Name, mt.Incarnation, mt.Paused, mt.Settings = t.Name(), hexNumber(t.Incarnation()), t.Paused(), set.String()
	for _, c := range t.Channels() {
		if !names.IsEphemeral(c.Name()) {
			set, _, _ := t.ChannelConfig(c.Name()) // one that has just gone has none
			mt.Channels = append(mt.Channels, metadataChannel{c.Name(), hexNumber(c.Incarnation()), c.Paused(), set.String()})
		}
	}
}

// durableListings lists the topics that outlive the process, those that cannot be
// opened too, sorted by name.
func (b *Broker) durableListings() []*listing {
	b.mu.Lock()
	names := slices.Sorted(maps.Keys(b.topics))
	list := make([]*listing, 0, len(names))
	for _, name := range names {
		s := b.topics[name]
		if s.gone == nil && (s.unopened != nil || s.topic != nil && !s.topic.Ephemeral()) {
			list = append(list, s)
		}
	}
	b.mu.Unlock()
	return list
}

// replaceFile writes a file under another name and puts it in place, durably.
func replaceFile(fs vfs.FS, path string, write func(io.Writer) error) error {
	tmp := path + ".tmp"
	fs.Remove(tmp)
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(io.NewOffsetWriter(f, 0)) // which keeps the first error
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		fs.Remove(tmp)
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}

// maxFile is far above the metadata of a million channels.
const maxFile = 1 << 30

func isNotExist(err error) bool { return errors.Is(err, iofs.ErrNotExist) }

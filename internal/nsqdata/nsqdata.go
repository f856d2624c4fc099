// Package nsqdata reads the data directory that an nsqd left: which topics and
// channels it had, and the messages that wait in its queues. It changes nothing,
// and has no threads. Bytes that are no message are told of and passed over, as
// nsqd passes them over; an error is one of the file system.
//
// nsqd.dat names topics and channels, as JSON. Each of them has a queue, called
// by the topic's name or by topic:channel, in files
//
//	<queue>.diskqueue.meta.dat        <depth>\n<file>,<position to read>\n<file>,<position to write>\n
//	<queue>.diskqueue.<number>.dat    records, one after the other
//
// The metadata is written every few seconds: after a kill messages stand behind
// what it says, in the file that it names or in later ones.
package nsqdata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"qmq/internal/names"
	"qmq/internal/vfs"
)

// MetadataName is the file in which nsqd keeps the names of topics and channels.
const MetadataName = "nsqd.dat"

// Directory is what an nsqd left.
type Directory struct {
	Topics []*Topic // by name
	Files  []File   // all that are nsqd's, by name
	Flaws  []Flaw   // what is told of the directory as a whole
}

// File is a file of nsqd's.
type File struct {
	Name string // in the directory
	Size int64
	Data bool // it holds messages, and not what nsqd says of them
}

// Topic is a topic with the messages that wait for its channels.
type Topic struct {
	Name     string
	Paused   bool
	Queue    Queue
	Channels []*Channel // by name
}

// Channel is a channel with its messages.
type Channel struct {
	Name   string
	Paused bool
	Queue  Queue
}

// Queue is where the messages of a topic or channel stand.
type Queue struct {
	Name      string
	Depth     int64 // as nsqd wrote it down last; after a kill it may be wrong
	Stretches []Stretch
}

// Bytes is how many bytes there are to be read.
func (q *Queue) Bytes() (n int64) {
	for _, s := range q.Stretches {
		n += s.To - s.From
	}
	return n
}

// Stretch is a part of a file that holds records of a queue.
type Stretch struct {
	Path     string
	From, To int64 // bytes
}

// Flaw is something that is not as nsqd leaves it after a clean stop.
type Flaw struct {
	Path string
	Text string
}

// Bytes is how many bytes there are to be read in all queues.
func (d *Directory) Bytes() (n int64) {
	for q := range d.queues {
		n += q.Bytes()
	}
	return n
}

// Depth is how many messages there are by what nsqd wrote down: after a kill it may
// be wrong.
func (d *Directory) Depth() (n int64) {
	for q := range d.queues {
		n += max(q.Depth, 0)
	}
	return n
}

func (d *Directory) queues(yield func(*Queue) bool) {
	for _, t := range d.Topics {
		if !yield(&t.Queue) {
			return
		}
		for _, c := range t.Channels {
			if !yield(&c.Queue) {
				return
			}
		}
	}
}

// reader is what is read of a directory while it is read.
type reader struct {
	fs     vfs.FS
	dir    string
	found  *Directory
	topics map[string]*Topic
	queues map[string]*queueFiles
}

// Read reads what is in a directory; nil when nothing there is nsqd's. The
// messages themselves are not read.
func Read(fsys vfs.FS, dir string) (*Directory, error) {
	r := &reader{fs: fsys, dir: dir, found: new(Directory), topics: make(map[string]*Topic), queues: make(map[string]*queueFiles)}
	if err := r.list(); err != nil || len(r.found.Files) == 0 {
		return nil, err
	}
	if err := r.metadata(); err != nil {
		return nil, err
	}
	if err := r.readQueues(); err != nil {
		return nil, err
	}
	d := r.found
	slices.SortFunc(d.Topics, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range d.Topics {
		slices.SortFunc(t.Channels, func(a, b *Channel) int { return strings.Compare(a.Name, b.Name) })
	}
	return d, nil
}

// list finds nsqd's files.
func (r *reader) list() error {
	entries, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		queue, kind := parseName(e.Name())
		if kind == foreign || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		r.found.Files = append(r.found.Files, File{Name: e.Name(), Size: info.Size(), Data: kind == data || kind == bad})
		switch kind {
		case metadata:
			r.filesOf(queue).metadata = true
		case data:
			number, err := fileNumber(e.Name())
			if err != nil {
				r.flaw(e.Name(), "has no number that nsqd gives, and is not read")
				continue
			}
			q := r.filesOf(queue)
			q.data = append(q.data, dataFile{number, filepath.Join(r.dir, e.Name()), info.Size()})
		case bad:
			r.flaw(e.Name(), "was set aside by nsqd because it could not read it, and is not read")
		}
	}
	return nil
}

func (r *reader) filesOf(queue string) *queueFiles {
	q := r.queues[queue]
	if q == nil {
		q = &queueFiles{name: queue}
		r.queues[queue] = q
	}
	return q
}

func (r *reader) flaw(name, format string, args ...any) {
	r.found.Flaws = append(r.found.Flaws, Flaw{Path: filepath.Join(r.dir, name), Text: fmt.Sprintf(format, args...)})
}

// kind says what a file is to nsqd.
type kind int

const (
	foreign  kind = iota // not nsqd's
	topology             // nsqd.dat
	metadata             // of a queue
	data                 // records of a queue
	bad                  // the same, set aside by nsqd
	leftover             // of a write that was not finished
)

const (
	queueInfix     = ".diskqueue."
	metadataSuffix = "meta.dat"
)

// IsName tells whether a file of that name is nsqd's.
func IsName(name string) bool {
	_, k := parseName(name)
	return k != foreign
}

// parseName tells what a file is by its name.
func parseName(name string) (queue string, k kind) {
	if name == MetadataName {
		return "", topology
	}
	if rest, ok := strings.CutPrefix(name, MetadataName+"."); ok && strings.HasSuffix(rest, ".tmp") {
		return "", leftover
	}
	at := strings.LastIndex(name, queueInfix)
	if at <= 0 {
		return "", foreign
	}
	queue, rest := name[:at], name[at+len(queueInfix):]
	switch {
	case rest == metadataSuffix:
		return queue, metadata
	case strings.HasPrefix(rest, metadataSuffix+".") && strings.HasSuffix(rest, ".tmp"):
		return queue, leftover
	case strings.HasSuffix(rest, ".dat.bad"):
		return queue, bad
	case strings.HasSuffix(rest, ".dat"):
		return queue, data
	}
	return "", foreign
}

// fileNumber is the number in the name of a file of records.
func fileNumber(name string) (int64, error) {
	digits := strings.TrimSuffix(name[strings.LastIndex(name, queueInfix)+len(queueInfix):], ".dat")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err == nil && fmt.Sprintf("%06d", n) != digits {
		err = errors.New("not as nsqd writes it")
	}
	return n, err
}

// metadata reads nsqd.dat. Without one, the queues tell which topics and channels
// there are.
func (r *reader) metadata() error {
	path := filepath.Join(r.dir, MetadataName)
	text, err := vfs.ReadFile(r.fs, path, vfs.NoLimit)
	if errors.Is(err, fs.ErrNotExist) {
		r.flaw(MetadataName, "is missing: topics and channels are those that have files")
		return nil
	}
	if err != nil {
		return err
	}
	var m struct {
		Topics []struct {
			Name     string `json:"name"`
			Paused   bool   `json:"paused"`
			Channels []struct {
				Name   string `json:"name"`
				Paused bool   `json:"paused"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%s is not what nsqd writes: %w", path, err)
	}
	for _, mt := range m.Topics {
		t := r.topic(mt.Name)
		if t == nil {
			r.flaw(MetadataName, "names a topic %q, which is not kept", mt.Name)
			continue
		}
		t.Paused = mt.Paused
		for _, mc := range mt.Channels {
			if c := t.channel(mc.Name); c != nil {
				c.Paused = mc.Paused
			} else {
				r.flaw(MetadataName, "names a channel %q of topic %s, which is not kept", mc.Name, mt.Name)
			}
		}
	}
	return nil
}

// kept says whether a name may be that of a topic or channel that is kept.
func kept(name string) bool { return names.Valid(name) && !names.IsEphemeral(name) }

// topic is that of a name; nil if none of that name is kept.
func (r *reader) topic(name string) *Topic {
	if !kept(name) {
		return nil
	}
	t := r.topics[name]
	if t == nil {
		t = &Topic{Name: name}
		r.topics[name] = t
		r.found.Topics = append(r.found.Topics, t)
	}
	return t
}

// channel is that of a name; nil if none of that name is kept.
func (t *Topic) channel(name string) *Channel {
	if !kept(name) {
		return nil
	}
	for _, c := range t.Channels {
		if c.Name == name {
			return c
		}
	}
	c := &Channel{Name: name}
	t.Channels = append(t.Channels, c)
	return c
}

package fromnsq

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	qchannel "qmq/channel"
	"qmq/internal/names"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	qtopic "qmq/topic"
)

const dataPath = "/data"

var quiet = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is the files of a directory that an nsqd wrote, by name.
func fixture(t testing.TB, name string) map[string][]byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("testdata", name+".tar.gz"))
	must(t, err)
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	files := make(map[string][]byte)
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		must(t, err)
		files[path.Clean(h.Name)] = content
	}
}

// fewTopics is a part of the fixture clean, with what nsqd delivered of it, for tests
// that import it often.
func fewTopics(t testing.TB) (files map[string][]byte, delivered map[string]held) {
	t.Helper()
	files, delivered = fixture(t, "clean"), deliveredByNSQD(t, "clean")
	of := func(name string) bool {
		return strings.HasPrefix(name, "stopped") || strings.HasPrefix(name, "Later")
	}
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return !of(name) })
	maps.DeleteFunc(delivered, func(at string, _ held) bool { return !of(at) })
	files["nsqd.dat"] = []byte(`{"topics":[{"name":"stopped","paused":true,"channels":[{"name":"one","paused":false},{"name":"two","paused":true}]},` +
		`{"name":"Later.v1","paused":false,"channels":[{"name":"work","paused":false}]}],"version":"1.3.0"}`)
	return files, delivered
}

// newDisk is a disk with nsqd's files in the data directory.
func newDisk(t testing.TB, seed uint64, files map[string][]byte) *crashfs.FS {
	t.Helper()
	disk := crashfs.New(seed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(t, disk.WriteFile(path.Join(dataPath, name), files[name]))
	}
	return disk
}

// wantFiles checks that files are there, and are as they were.
func wantFiles(t testing.TB, disk *crashfs.FS, dir string, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		if got, err := disk.ReadFile(path.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not as nsqd left it: %d bytes of %d, %v", name, len(got), len(want), err)
		}
	}
}

// wantUnchanged checks that nothing is on the disk but nsqd's files.
func wantUnchanged(t testing.TB, disk *crashfs.FS, files map[string][]byte) {
	t.Helper()
	wantFiles(t, disk, dataPath, files)
	for _, f := range disk.Files() {
		if _, ok := files[strings.TrimPrefix(f.Name, dataPath+"/")]; !ok {
			t.Errorf("%s is there", f.Name)
		}
	}
}

func options(fsys vfs.FS, adjust ...func(*Options)) Options {
	o := Options{FS: fsys, DataPath: dataPath, SegmentBytes: 64 << 10, BootID: "boot", Now: func() int64 { return time.Now().UnixNano() }, Logger: quiet}
	for _, f := range adjust {
		f(&o)
	}
	return o
}

// start does what a node does first, as one process.
func start(disk *crashfs.FS, adjust ...func(*Options)) error {
	return Start(context.Background(), options(disk.Mount(), adjust...))
}

// held is what a channel has, by body: how often it will have been delivered then. A
// message that is there twice counts below zero.
type held map[string]int

func (h held) put(body string, attempts int) {
	body, _, _ = strings.Cut(body, " ")
	if _, twice := h[body]; twice {
		attempts = -1
	}
	h[body] = attempts
}

// deliveredByNSQD is what an nsqd delivered, by topic and channel.
func deliveredByNSQD(t testing.TB, name string) map[string]held {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	must(t, err)
	all := make(map[string]held)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		attempts, err := strconv.Atoi(f[3])
		must(t, err)
		at := f[0] + " " + f[1]
		if all[at] == nil {
			all[at] = make(held)
		}
		all[at].put(f[2], attempts)
	}
	return all
}

func openBroker(t testing.TB, disk *crashfs.FS) *broker.Broker {
	t.Helper()
	b, err := broker.Open(broker.Options{
		FS: disk.Mount(), DataPath: dataPath, NodeID: 7, SegmentBytes: 64 << 10, HotBytes: 8 << 20, MemQueueSize: 1000, BootID: "boot",
		SyncEvery: 2500, SyncTimeout: 2 * time.Second, MaxMsgTimeout: 15 * time.Minute, MaxReqTimeout: time.Hour, Logger: quiet,
	})
	must(t, err)
	return b
}

// sink keeps what is delivered.
type sink struct{ held }

func (s sink) Put(m *qchannel.Message) bool {
	s.put(string(m.Body), int(m.Attempts))
	return true
}

// take takes all that a channel delivers now, without an answer.
func take(t testing.TB, c *qchannel.Channel) held {
	t.Helper()
	k, err := c.Subscribe(qchannel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}})
	must(t, err)
	k.SetReady(1 << 20)
	s := sink{make(held)}
	for n := -1; n != len(s.held); {
		n = len(s.held)
		k.Take(s, qchannel.MaxTake)
	}
	return s.held
}

// served is what a broker on the disk delivers, as deliveredByNSQD has it, and the
// paused topics and channels as it found them.
func served(t testing.TB, disk *crashfs.FS) (all map[string]held, paused []string) {
	t.Helper()
	b := openBroker(t, disk)
	defer b.Close()
	all = make(map[string]held)
	for _, tp := range b.Topics() {
		if names.IsEphemeral(tp.Name()) {
			t.Errorf("topic %s is kept", tp.Name())
		}
		if len(tp.Channels()) == 0 {
			_, err := tp.Channel("first")
			must(t, err)
		}
		takeAll(t, tp, tp.Name(), all, &paused)
		if tp.Paused() {
			paused = append(paused, tp.Name())
			must(t, tp.Unpause())
			takeAll(t, tp, tp.Name()+":behind", all, &paused)
		}
	}
	if d := b.Damage(); len(d.Findings) > 0 {
		t.Errorf("damage: %+v", d.Findings)
	}
	slices.Sort(paused)
	return all, paused
}

func takeAll(t testing.TB, tp *qtopic.Topic, as string, all map[string]held, paused *[]string) {
	t.Helper()
	for _, c := range tp.Channels() {
		if c.Paused() {
			*paused = append(*paused, as+"/"+c.Name())
			c.Unpause()
		}
		if h := take(t, c); len(h) > 0 {
			all[as+" "+c.Name()] = h
		}
	}
}

// wantServed checks what a broker on the disk delivers.
func wantServed(t testing.TB, disk *crashfs.FS, want map[string]held) {
	t.Helper()
	got, _ := served(t, disk)
	for at := range want {
		if !maps.Equal(got[at], want[at]) {
			t.Errorf("%s has %d messages, want %d: %.300v, want %.300v", at, len(got[at]), len(want[at]), got[at], want[at])
		}
	}
	for at := range got {
		if want[at] == nil {
			t.Errorf("%s has messages: %.300v", at, got[at])
		}
	}
}

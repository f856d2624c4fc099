package machine

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
)

const dataDir = "/data"

// tester is testing.T or rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDisk(seed uint64) *crashfs.FS {
	disk := crashfs.New(seed)
	fs := disk.Mount()
	fs.MkdirAll(dataDir)
	fs.SyncDir("/")
	return disk
}

func optionsOn(fs vfs.FS, change ...func(*Options)) Options {
	quiet := slog.New(slog.DiscardHandler)
	o := Options{
		Shard: 3, Dir: dataDir, SegmentBytes: 4 << 10, HotMessages: 100, Logger: quiet,
		Shared: diskqueue.NewShared(diskqueue.SharedOptions{FS: fs, Logger: quiet}),
		Now:    func() int64 { return 1 << 60 },
		Go:     func(f func()) { f() },
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func tryOpen(disk *crashfs.FS, change ...func(*Options)) (*Machine, error) {
	return Open(optionsOn(disk.Mount(), change...))
}

func open(t tester, disk *crashfs.FS, change ...func(*Options)) *Machine {
	t.Helper()
	m, err := tryOpen(disk, change...)
	must(t, err)
	return m
}

// feed applies entries behind what is applied, all in term 1.
func feed(t tester, m *Machine, entries ...*entry.Entry) (last Outcome) {
	t.Helper()
	for _, e := range entries {
		index, _ := m.Applied()
		var err error
		last, err = m.Apply(index+1, 1, e.AppendTo(nil))
		must(t, err)
	}
	return last
}

func topology(entries ...state.Entry) *entry.Entry { return &entry.Entry{Topology: entries} }

func createTopic(name string) state.Entry { return state.Entry{Op: state.CreateTopic, Name: name} }

func createChannel(topic uint64, name string) state.Entry {
	return state.Entry{Op: state.CreateChannel, Topic: topic, Name: name}
}

// batchOf is one message of each body.
func batchOf(bodies ...string) *diskqueue.Batch {
	b := new(diskqueue.Batch)
	for _, body := range bodies {
		b.Add(&message.Meta{Timestamp: 7}, []byte(body))
	}
	return b
}

func part(topic, member, epoch, number uint64, bodies ...string) entry.Part {
	return entry.Part{Topic: topic, Origin: entry.Origin{Member: member, Epoch: epoch, Number: number}, Batch: batchOf(bodies...)}
}

func publish(topic, member, number uint64, bodies ...string) *entry.Entry {
	return &entry.Entry{Parts: []entry.Part{part(topic, member, 1, number, bodies...)}}
}

func changes(list ...state.ChannelChanges) *entry.Entry {
	e := &entry.Entry{}
	enc := state.NewEncoder()
	for _, ch := range list {
		e.Changes = append(e.Changes, bytes.Clone(enc.Changes(ch)))
	}
	return e
}

// encoded is all that a machine knows, as bytes.
func encoded(m *Machine) []byte {
	m.mu.Lock()
	f := m.s.freeze()
	m.mu.Unlock()
	var b []byte
	for payload := range f.frames(m.o.Shard) {
		b = appendFrame(b, 0, payload)
	}
	return b
}

// contents is what the log of a topic holds of what is owed of it, and retained.
func contents(t tester, m *Machine, topic uint64) map[uint64]string {
	t.Helper()
	v, err := m.Topic(topic)
	must(t, err)
	defer v.Release()
	r := v.Log.NewReader()
	defer r.Release()
	all := make(map[uint64]string)
	kept := v.State.Owed(nil, seqset.Range{To: v.Next}, maxOwed)
	if from := v.State.Retained; from != 0 {
		kept = seqset.Union(kept, []seqset.Range{{From: from, To: max(from, v.Next)}})
	}
	for _, owed := range seqset.Difference(kept, v.State.Voids) {
		for seq := max(owed.From, v.State.Start); seq < owed.To; seq++ {
			view, err := r.Read(seq)
			if err != nil {
				t.Fatalf("topic %d, message %d: %v", topic, seq, err)
			}
			all[seq] = string(view.Body)
		}
	}
	return all
}

// allContents is contents of all topics.
func allContents(t tester, m *Machine) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for name, id := range m.Topics() {
		for seq, body := range contents(t, m, id) {
			all[fmt.Sprintf("%s/%d", name, seq)] = body
		}
	}
	return all
}

// same fails unless two machines know the same and hold what is owed.
func same(t tester, got, want *Machine) {
	t.Helper()
	if g, w := encoded(got), encoded(want); !bytes.Equal(g, w) {
		t.Fatalf("states differ: %d and %d bytes", len(g), len(w))
	}
	g, w := allContents(t, got), allContents(t, want)
	if len(g) != len(w) {
		t.Fatalf("%d messages and %d", len(g), len(w))
	}
	for at, body := range w {
		if g[at] != body {
			t.Fatalf("%s is %.20q, not %.20q", at, g[at], body)
		}
	}
}

func statuses(o Outcome) (list []Status) {
	for _, p := range o.Parts {
		list = append(list, p.Status)
	}
	return list
}

func wantStatuses(t *testing.T, o Outcome, want ...Status) {
	t.Helper()
	if got := statuses(o); !slices.Equal(got, want) {
		t.Errorf("parts became %v, want %v", got, want)
	}
}

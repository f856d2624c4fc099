package machine

import (
	"maps"
	"slices"
	"testing"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
)

// identified is one message of each body, whose id is the body, at a time in ms.
func identified(at int64, bounds message.DedupBounds, bodies ...string) *diskqueue.Batch {
	b := new(diskqueue.Batch)
	for _, body := range bodies {
		id := message.MakeDedupID([]byte(body))
		b.Add(&message.Meta{Timestamp: at * 1e6, DedupID: &id, DedupBounds: bounds}, []byte(body))
	}
	return b
}

func partOf(member, number uint64, b *diskqueue.Batch) entry.Part {
	return entry.Part{Topic: 1, Origin: entry.Origin{Member: member, Epoch: 1, Number: number}, Batch: b}
}

func publishOnce(member, number uint64, b *diskqueue.Batch) *entry.Entry {
	return &entry.Entry{Parts: []entry.Part{partOf(member, number, b)}}
}

func bodiesOf(t *testing.T, m *Machine) []string {
	all := contents(t, m, 1)
	var list []string
	for _, seq := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[seq])
	}
	return list
}

var minute = message.DedupBounds{Window: time.Minute, Most: 100}

func TestDoublesAreLeftOutWhenTheyAreApplied(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")))
	feed(t, m, publishOnce(7, 1, identified(0, minute, "a", "b", "a")))
	o := feed(t, m, publishOnce(8, 1, identified(1, minute, "b", "a")))
	if p := o.Parts[0]; p.Status != Applied || p.Added.First != p.Added.End || !slices.Equal(p.Doubles, []int{0, 1}) {
		t.Errorf("%+v", p)
	}
	o = feed(t, m, &entry.Entry{Parts: []entry.Part{
		partOf(7, 2, identified(2, minute, "c", "a", "d")), partOf(8, 2, identified(2, minute, "d", "e", "c")),
	}})
	if p := o.Parts[1]; p.Added.First != 5 || p.Added.End != 6 || !slices.Equal(p.Doubles, []int{0, 2}) {
		t.Errorf("%+v", p)
	}
	feed(t, m, publishOnce(7, 3, identified(3, message.DedupBounds{}, "a"))) // one that was put back, as it were
	if got, want := bodiesOf(t, m), []string{"a", "b", "c", "d", "e", "a"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if d := m.Doubles(1); d.Found != 6 || d.IDs != 5 {
		t.Errorf("%+v", d)
	}
}

// TestDoublesAreKnownAfterAStopAndASnapshot, whatever became of what was there.
func TestDoublesAreKnownAfterAStopAndASnapshot(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t"), createChannel(1, "c")), publishOnce(7, 1, identified(0, minute, "a", "b")))
	feed(t, m, topology(state.Entry{Op: state.EmptyTopic, Topic: 1, FanOut: 3}))
	_, err := m.Checkpoint()
	must(t, err)
	other := open(t, newDisk(2))
	must(t, install(other, framesFor(t, m, other.Ends())))
	must(t, m.Close())
	disk.Crash(crashfs.DropAll)
	m = open(t, disk)
	last := message.DedupBounds{Window: 10 * time.Second, Most: 2}
	for _, m := range []*Machine{m, other} {
		feed(t, m, publishOnce(7, 2, identified(1, minute, "b", "a", "c")))
		feed(t, m, publishOnce(7, 3, identified(20_000, last, "a"))) // the window is shorter by now
		feed(t, m, publishOnce(7, 4, identified(20_001, last, "b", "c", "a", "b")))
		if d := m.Doubles(1); d.Found != 4 || d.IDs != 2 {
			t.Errorf("%+v", d)
		}
	}
	same(t, m, other)
	if a, b := bodiesOf(t, m), bodiesOf(t, other); !slices.Equal(a, b) {
		t.Errorf("%q and %q", a, b)
	}
}

func TestIDsAreForgottenWhereDoublesAreNotToBeKnown(t *testing.T) {
	m := open(t, newDisk(1))
	feed(t, m, topology(createTopic("t")), publishOnce(7, 1, identified(0, minute, "a")))
	feed(t, m, topology(state.Entry{Op: state.ConfigureTopic, Topic: 1, Name: `{"dedup_window":"0s"}`}))
	if d := m.Doubles(1); d.IDs != 0 {
		t.Errorf("%+v", d)
	}
	feed(t, m, publishOnce(7, 2, identified(1, minute, "a")))
	if got := bodiesOf(t, m); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// TestTheTimeOfAShardSaysWhenIDsCame, and not the clocks that messages were published by; it is
// there after a stop and in a snapshot, and never goes back.
func TestTheTimeOfAShardSaysWhenIDsCame(t *testing.T) {
	const hour = 3600_000 // ms
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t")))
	at := func(seconds int64, e *entry.Entry) *entry.Entry {
		e.Time = 1e18 + seconds*1e9
		return e
	}
	feed(t, m, at(0, publishOnce(7, 1, identified(hour, minute, "a"))))
	feed(t, m, at(10, publishOnce(7, 2, identified(-hour, minute, "b", "a"))))
	_, err := m.Checkpoint()
	must(t, err)
	other := open(t, newDisk(2))
	must(t, install(other, framesFor(t, m, other.Ends())))
	must(t, m.Close())
	disk.Crash(crashfs.DropAll)
	m = open(t, disk)
	for _, m := range []*Machine{m, other} {
		if now := m.Time(); now != 1e18+10e9 {
			t.Fatalf("time %d", now)
		}
		feed(t, m, at(50, publishOnce(7, 3, identified(-hour, minute, "a"))))
		feed(t, m, at(20, publishOnce(7, 4, identified(hour, minute, "c", "b")))) // by a leader that is behind
		feed(t, m, at(61, publishOnce(7, 5, identified(0, minute, "a", "b"))))
		if d := m.Doubles(1); d.Oldest != 1e18+10e9 || d.IDs != 3 {
			t.Errorf("%+v", d)
		}
		if got, want := bodiesOf(t, m), []string{"a", "b", "c", "a"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	same(t, m, other)
}

package cluster

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"qmq/state"
)

// spoil changes all places in files of a member's topics where some bytes stand, and
// says how many there were.
func spoil(t *testing.T, m *rigMember, what string) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.dir, "replicated", "*", "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(b, []byte(what))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; ; at++ {
			next := bytes.Index(b[at:], []byte(what))
			if next < 0 {
				break
			}
			at += next
			if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// What goes bad on the disk of the member that leads is fetched from another one, and
// written again: nobody misses it, and that member has it from then on.
func TestWhatGoesBadOnOneDiskIsFetchedFromAnother(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "message", 20)
	var all []string
	g.eventually("all wait", func() bool { // who leads may have applied them a moment later
		all = g.bodies(g.members[0], "orders", "work")
		return len(all) == 20
	})
	leader := g.leader(shardOf("orders"))
	r := leader.run.Load()
	if err := r.shard(shardOf("orders")).Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if spoil(t, leader, "message 7") == 0 || spoil(t, leader, "message 12") == 0 {
		t.Fatal("there is nothing to spoil")
	}
	m := r.machines[shardOf("orders")]
	incarnation, _ := m.Incarnation("orders")
	m.SetServed(incarnation, false) // memory has what the disk has lost
	v, err := m.Topic(incarnation)
	if err != nil {
		t.Fatal(err)
	}
	first := v.Log.Start()
	v.Release()
	if records, err := m.Records(incarnation, first, v.Next, 1<<20); err != nil || bytes.Contains(records, []byte("message 7")) {
		t.Fatalf("it reads what is spoilt: %v", err)
	}
	g.eventually("all can be read", func() bool {
		records, err := m.Records(incarnation, first, v.Next, 1<<20)
		return err == nil && bytes.Count(records, []byte("message ")) == len(all)
	})
	g.awaitBodies(leader, "orders", "work", all...)
	if spoil(t, leader, "message 7") == 0 {
		t.Error("it is not on the disk again")
	}
}

// What goes bad where nobody reads it is found by reading everything, also what is in
// memory still, and mended.
func TestWhatNobodyReadsIsFoundAndMended(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "message", 20)
	shard := shardOf("orders")
	leader := g.leader(shard)
	g.eventually("all wait", func() bool { return len(g.bodies(leader, "orders", "work")) == 20 })
	for _, m := range g.members {
		r := m.run.Load()
		g.eventually("it is a full segment", func() bool {
			incarnation, ok := r.machines[shard].Incarnation("orders")
			if !ok {
				return false
			}
			v, err := r.machines[shard].Topic(incarnation)
			if err != nil {
				return false
			}
			defer v.Release()
			v.Log.EndSegment() // nothing happens afterwards that would bring it to the disk
			full := v.Log.Extents()
			return len(full) == 1 && full[0].Full && full[0].Numbers.Len() == 20
		})
		if spoil(t, m, "message 7") == 0 {
			t.Fatal("there is nothing to spoil")
		}
		if err := r.scrub.pass(); err != nil {
			t.Fatal(err)
		}
		g.eventually("it is found and mended", func() bool {
			st, c := m.Status().Scrub, m.Counts()
			return st.Lost == 1 && st.Segments == 1 && st.Ended > 0 && c.Mended == 1 && c.Unobtainable == 0
		})
		if spoil(t, m, "message 7") == 0 {
			t.Error("it is not on the disk again")
		}
		if err := r.scrub.pass(); err != nil {
			t.Fatal(err)
		}
		g.eventually("it is found again", func() bool { return m.Counts().Mended == 2 })
	}
}

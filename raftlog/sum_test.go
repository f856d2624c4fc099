package raftlog

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/crc32c"
)

// TestSumsThatAreKnownAreThoseOfTheData saves entries of which some say their own sums, and
// reads them back from the disk, also after a start that knows of none.
func TestSumsThatAreKnownAreThoseOfTheData(t *testing.T) {
	o := options(newDisk(t, 1))
	o.CacheBytes = 1
	asked := 0
	o.Sum = func(shard uint32, data []byte) (uint32, bool) {
		if asked++; shard != 4 {
			return 0, false
		}
		return crc32c.Sum(data), true
	}
	l, _ := mustOpen(t, o)
	want := append(entries(1, 1, 2, minLong), entries(3, 1, 2, 10)...)
	want[1].Type = raftpb.EntryConfChangeV2.Enum() // raft's own say nothing
	want = append(want, entries(5, 1, 1, minLong+3)...)
	for _, shard := range []uint32{4, 5} {
		mustSave(t, l, &Update{Shard: shard, HardState: hard(1, 1, 0), Entries: want})
		wantEntries(t, "saved", all(t, l.Shard(shard)), want)
	}
	if asked != 4 {
		t.Errorf("asked for the sums of %d entries, want 4: two long ones of each shard", asked)
	}
	must(t, l.Close())
	o.Sum = nil
	l, r := mustOpen(t, o)
	if !r.Clean {
		t.Errorf("found %+v", r)
	}
	for _, shard := range []uint32{4, 5} {
		wantEntries(t, "after a start", all(t, l.Shard(shard)), want)
	}
	must(t, l.Close())
}

func TestDataThatHaveChangedSinceTheyWereSummedDoNotVerify(t *testing.T) {
	o := options(newDisk(t, 1))
	o.CacheBytes = 1
	list := entries(1, 1, 2, minLong)
	sum := crc32c.Sum(list[0].GetData())
	o.Sum = func(uint32, []byte) (uint32, bool) { return sum, true }
	list[0].Data[100] ^= 1
	l, _ := mustOpen(t, o)
	mustSave(t, l, &Update{Shard: 4, HardState: hard(1, 1, 0), Entries: list[:1]})
	mustSave(t, l, &Update{Shard: 4, Entries: entries(2, 1, 1, 10)})
	if _, err := l.Shard(4).Entries(1, 2, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("read with %v, want %v", err, ErrDamaged)
	}
	must(t, l.Close())
}

package fromnsq

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/internal/vfs"
)

func TestSorterPassesOnAllEntriesInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fsys := vfs.NewMem()
		s := sorter{fs: fsys, dir: "/", most: rapid.IntRange(1, 2000).Draw(t, "in memory")}
		var want []entry
		few := rapid.Uint64Max(5)
		for range rapid.IntRange(0, 5000).Draw(t, "entries") {
			e := entry{
				group: uint32(few.Draw(t, "group")), size: uint32(few.Draw(t, "size")), id: few.Draw(t, "id"), timestamp: int64(few.Draw(t, "time")),
				hash: few.Draw(t, "hash"), stretch: uint32(few.Draw(t, "stretch")), offset: int64(len(want)), attempts: uint16(few.Draw(t, "attempts")),
			}
			want = append(want, e)
			if err := s.add(&e); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortFunc(want, func(a, b entry) int { return compareEntries(&a, &b) })
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // it may be read more than once
			var got []entry
			for e, err := range s.all() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, *e)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d entries of %d, or in another order", len(got), len(want))
			}
		}
		if err := s.remove(); err != nil {
			t.Fatal(err)
		}
		if left, _ := fsys.ReadDir("/"); len(left) > 0 {
			t.Fatalf("%d files are left", len(left))
		}
	})
}

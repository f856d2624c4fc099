package diskqueue

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"qmq/internal/vfs/crashfs"
)

// indexOf is the index file of a log with one full segment, and its content.
func indexOf(t *testing.T, fs *crashfs.FS) (path string, text []byte) {
	t.Helper()
	for _, f := range fs.Files() {
		if strings.HasSuffix(f.Name, indexSuffix) {
			b, err := fs.ReadFile(f.Name)
			if err != nil {
				t.Fatal(err)
			}
			return f.Name, b
		}
	}
	t.Fatal("there is no index")
	return "", nil
}

// TestCheckFindsEveryFlippedBitOfAnIndex flips each bit of an index and
// wants it found; and nothing where a part of the index is missing, as the end of a
// process or the machine leaves it.
func TestCheckFindsEveryFlippedBitOfAnIndex(t *testing.T) {
	for _, followed := range []bool{false, true} {
		t.Run(fmt.Sprintf("followed %v", followed), func(t *testing.T) {
			fs := newCrash(1)
			n := newNode(fs).cold()
			writeDamageLog(t, n, followed, true)
			n.wantSound(t)
			path, good := indexOf(t, fs)
			write := func(b []byte) {
				t.Helper()
				if err := fs.WriteFile(path, b); err != nil {
					t.Fatal(err)
				}
			}
			for bit := range len(good) * 8 {
				b := slices.Clone(good)
				b[bit/8] ^= 1 << (bit % 8)
				write(b)
				found := slices.ContainsFunc(n.check(t).Findings, func(f Finding) bool { return f.Kind == Inconsistent && f.Path == path })
				if !found {
					t.Errorf("bit %d of byte %d is not found", bit%8, bit/8)
				}
			}
			for size := range good {
				write(good[:size])
				n.wantSound(t)
			}
			write(make([]byte, len(good)))
			n.wantSound(t)
			write(append(slices.Clone(good), 1))
			if k := n.check(t); len(k.Findings) != 1 {
				t.Errorf("of an index that is too long: %+v", k.Findings)
			}
			write(good)
			n.wantSound(t)
		})
	}
}

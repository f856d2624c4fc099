package diskqueue

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
)

// Verify finds what no reader has come to, whatever is in memory, and tells of it once.
func TestVerifyFindsWhatNobodyReads(t *testing.T) {
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			m := newMended(t, newCrash(1), func(b []byte) []byte { return b }, true, true)
			var found []Finding
			n := replicatedNode(m.fs, m.end())
			n.log.Found = func(f Finding) { found = append(found, f) }
			l, _ := n.open(t)
			m.want(t, l, nil) // it is in memory now
			b, err := m.fs.ReadFile(m.path)
			if err == nil {
				err = m.fs.WriteFile(m.path, c.damage(b))
			}
			if err != nil {
				t.Fatal(err)
			}
			l2, _ := replicatedNode(m.fs, m.end()).open(t)
			bad := m.unread(l2)
			l2.Discard()
			read := 0
			lost := verifyAll(t, l, &read)
			if int(lost) != len(bad) || lost > 0 != (len(found) > 0) || read == 0 {
				t.Errorf("%d are found, %d cannot be read; told %+v, %d bytes read", lost, len(bad), found, read)
			}
			told := len(found)
			if verifyAll(t, l, &read) != 0 || len(found) != told {
				t.Errorf("it is found again: %+v", found[told:])
			}
			l.Discard()
		})
	}
}

func verifyAll(t *testing.T, l *Log, read *int) (lost uint64) {
	t.Helper()
	for _, v := range l.Verifiable() {
		n, unread, err := l.Verify(v.Numbers, func(bytes int) error { *read += bytes; return nil })
		if err != nil || len(unread) > 0 {
			t.Error(unread, err)
		}
		lost += n
	}
	return lost
}

// A record may be longer than what is read at a time: who paces it is told of all of it.
func TestVerifyTellsOfAllThatItReads(t *testing.T) {
	n := newNode(newCrash(1)).cold()
	l, _ := n.open(t)
	const count, long = 4, 1 << 20
	for i := range count {
		mustAppend(t, l, single(bodyOf(i, long)))
	}
	l.EndSegment()
	mustSync(t, l)
	read := 0
	if lost := verifyAll(t, l, &read); lost > 0 || read < count*long || read > count*(long+verifyStretch) {
		t.Errorf("%d bytes are told of %d, %d messages lost", read, count*long, lost)
	}
	mustClose(t, l)
}

// Who paces it ends it, and what is gone meanwhile is passed over.
func TestVerifyEnds(t *testing.T) {
	m := newMended(t, newCrash(1), func(b []byte) []byte { return b }, true, true)
	l := m.open(t)
	enough := errors.New("enough")
	all := l.Verifiable()
	if _, _, err := l.Verify(all[0].Numbers, func(int) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	l.Discard()
	if lost, _, err := l.Verify(seqset.Range{From: m.first, To: m.end()}, func(int) error { return nil }); lost != 0 {
		t.Errorf("%d are lost of a log that is closed, %v", lost, err)
	}
}

// What the medium does not give keeps nothing else from being verified, and is given up when
// it was read again and again for a while.
func TestVerifyPassesOverABadSector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrash(1)
		n := newNode(fs).cold()
		found := n.notes()
		first, path := writeLong(t, n, true)
		l, _ := n.open(t)
		if err := fs.BadSectors(path, sectorAt, sectorAt+512); err != nil {
			t.Fatal(err)
		}
		if err := fs.FlipBit(path, longAt(longCount-1)+sectorBody/2); err != nil {
			t.Fatal(err)
		}
		pace := func(int) error { return nil }
		lost, unread, err := l.Verify(seqset.Range{From: first, To: first + longCount}, pace)
		if lost != 1 || len(unread) != 1 || err != nil {
			t.Fatalf("%d are lost, %v unread, %v", lost, unread, err)
		}
		want := unread[0].Len()
		for range 4 {
			time.Sleep(defaultReadTimeout / 3)
			var again []seqset.Range
			for _, r := range unread {
				n, more, err := l.Verify(r, pace)
				if lost += n; err != nil {
					t.Error(err)
				}
				again = append(again, more...)
			}
			unread = again
		}
		if lost != want+1 || len(unread) > 0 || len(*found) != 2 {
			t.Errorf("%d are lost, of %d, %v unread; found %+v", lost, want+1, unread, *found)
		}
		mustClose(t, l)
	})
}

package diskqueue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// mended is a log of which a disk loses something, and what was in it.
type mended struct {
	fs    *crashfs.FS
	path  string // of the segment that is damaged
	first uint64
	all   []message.View
}

// newMended is a log whose segment is damaged while it is not open.
func newMended(t *testing.T, fs *crashfs.FS, damage func([]byte) []byte, followed, sealed bool) *mended {
	t.Helper()
	n := newNode(fs.Mount()).cold()
	m := &mended{fs: fs}
	m.first, m.path = writeDamageLog(t, n, followed, sealed)
	l, _ := n.open(t)
	r := l.NewReader()
	for seq := m.first; ; seq++ {
		v, err := r.Read(seq)
		if err != nil {
			break
		}
		v.Body, v.Attrs = append([]byte(nil), v.Body...), append([]byte(nil), v.Attrs...)
		m.all = append(m.all, v)
	}
	r.Release()
	l.Discard()
	b, err := fs.ReadFile(m.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.WriteFile(m.path, damage(b)); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *mended) end() uint64 { return m.first + uint64(len(m.all)) }

// open opens the log as one of a replicated topic.
func (m *mended) open(t *testing.T) *Log {
	t.Helper()
	l, _ := replicatedNode(m.fs, m.end()).open(t)
	return l
}

// lost is a Lost of what was in the log.
func (m *mended) lost(numbers seqset.Range, take func(message.View) error) error {
	for seq := numbers.From; seq < numbers.To; seq++ {
		if err := take(m.all[seq-m.first]); err != nil {
			return err
		}
	}
	return nil
}

// mend mends all that cannot be read.
func (m *mended) mend(l *Log, lost Lost) error {
	r := l.NewReader()
	defer r.Release()
	for seq := m.first; seq < m.end(); seq++ {
		if _, err := r.Read(seq); err == nil {
			continue
		}
		if err := l.Mend(seqset.Range{From: seq, To: m.end()}, lost); err != nil {
			return err
		}
	}
	return nil
}

// want checks that the log holds all; but is what it need not.
func (m *mended) want(t *testing.T, l *Log, but map[uint64]bool) {
	t.Helper()
	r := l.NewReader()
	defer r.Release()
	for _, want := range m.all {
		v, err := r.Read(want.Seq)
		if but[want.Seq] && err != nil {
			continue
		}
		if err != nil || string(v.Body) != string(want.Body) || v.Flags != want.Flags || v.Timestamp != want.Timestamp {
			t.Errorf("message %d is %.20q, flags %x, %v; want %.20q, flags %x", want.Seq, v.Body, v.Flags, err, want.Body, want.Flags)
		}
	}
}

// unread are the messages that cannot be read.
func (m *mended) unread(l *Log) map[uint64]bool {
	bad := make(map[uint64]bool)
	r := l.NewReader()
	defer r.Release()
	for seq := m.first; seq < m.end(); seq++ {
		if _, err := r.Read(seq); err != nil {
			bad[seq] = true
		}
	}
	return bad
}

// Whatever is lost of a log, it is whole again when others have given that; also after
// the next starts, and what is appended follows.
func TestWhatOthersHaveIsMended(t *testing.T) {
	for _, c := range damages {
		for _, followed := range []bool{false, true} {
			for _, sealed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/followed=%v/sealed=%v", c.name, followed, sealed), func(t *testing.T) {
					m := newMended(t, newCrash(1), c.damage, followed, sealed)
					l := m.open(t)
					if err := m.mend(l, m.lost); err != nil {
						t.Fatal(err)
					}
					m.want(t, l, nil)
					done := mustAppend(t, l, single([]byte("new")))
					wantOwned(t, l)
					if done.First != m.end() {
						t.Errorf("it goes on at %d, not %d", done.First, m.end())
					}
					mustSync(t, l)
					l.Discard()
					for range 2 {
						l, rec := replicatedNode(m.fs, m.end()+1).open(t)
						if rec.Lost() > 0 {
							t.Errorf("a start finds %+v", rec.Findings)
						}
						m.want(t, l, nil)
						mustClose(t, l)
					}
				})
			}
		}
	}
}

// A segment whose file is gone comes back as a whole.
func TestSegmentThatIsGoneIsMended(t *testing.T) {
	for _, followed := range []bool{false, true} {
		fs := newCrash(1)
		m := newMended(t, fs, func(b []byte) []byte { return b }, followed, true)
		if err := fs.Remove(m.path); err != nil {
			t.Fatal(err)
		}
		l := m.open(t)
		if err := m.mend(l, m.lost); err != nil {
			t.Fatal(err)
		}
		m.want(t, l, nil)
		mustClose(t, l)
		l = m.open(t)
		m.want(t, l, nil)
		mustClose(t, l)
	}
}

// Wherever it stops, and whatever fails, a log has at least what it had.
func TestMendThatStopsOrFailsLosesNothing(t *testing.T) {
	twoApart := func(b []byte) []byte { return flip(2, inBody)(flip(16, inBody)(b)) }
	for name, end := range map[string]func(*crashfs.FS) error{
		"kill":      func(fs *crashfs.FS) error { fs.Kill(); return nil },
		"power cut": func(fs *crashfs.FS) error { fs.Crash(crashfs.DropAll); return nil },
		"torn":      func(fs *crashfs.FS) error { fs.Crash(crashfs.Random); return nil },
		"error":     func(*crashfs.FS) error { return syscall.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			for at, stopped := 1, true; stopped && !t.Failed(); at++ {
				m := newMended(t, newCrash(uint64(at)), twoApart, true, true)
				l := m.open(t)
				bad, ops := m.unread(l), 0
				stopped = false
				m.fs.Fail(func(crashfs.Op, string) error {
					if ops++; ops != at {
						return nil
					}
					stopped = true
					return end(m.fs)
				})
				_ = m.mend(l, m.lost)
				m.fs.Fail(nil)
				if name == "error" {
					m.want(t, l, bad)
				}
				l.Discard()
				for range 2 {
					l := m.open(t)
					m.want(t, l, bad)
					if err := m.mend(l, m.lost); err != nil {
						t.Errorf("later: %v", err)
					}
					m.want(t, l, nil)
					l.Discard()
				}
				if t.Failed() {
					t.Logf("at operation %d", at)
				}
			}
		})
	}
}

// What others do not have in full leaves all as it is.
func TestWhatOthersDoNotHaveIsNotMended(t *testing.T) {
	m := newMended(t, newCrash(1), flip(5, inBody), true, true)
	l := m.open(t)
	bad := m.unread(l)
	busy := errors.New("nobody answers")
	for name, lost := range map[string]Lost{
		"nothing": func(seqset.Range, func(message.View) error) error { return nil },
		"error":   func(seqset.Range, func(message.View) error) error { return busy },
		"another": func(numbers seqset.Range, take func(message.View) error) error {
			return take(m.all[numbers.From+1-m.first])
		},
		"too much": func(numbers seqset.Range, take func(message.View) error) error {
			return m.lost(seqset.Range{From: numbers.From, To: numbers.To + 1}, take)
		},
	} {
		if err := m.mend(l, lost); !errors.Is(err, ErrIncomplete) && !errors.Is(err, busy) {
			t.Errorf("%s: %v", name, err)
		}
		m.want(t, l, bad)
	}
	if err := l.Mend(seqset.Range{From: m.end(), To: m.end() + 1}, m.lost); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was never there: %v", err)
	}
	mustClose(t, l)
}

// What nobody has stays lost, and what is around it is there again: also after the next
// starts, with the index and without.
func TestWhatNobodyHasIsLeftOutOfAMend(t *testing.T) {
	threeApart := func(b []byte) []byte { return flip(4, inBody)(flip(10, inBody)(flip(16, inBody)(b))) }
	for _, sealed := range []bool{false, true} {
		m := newMended(t, newCrash(1), threeApart, true, sealed)
		l := m.open(t)
		bad := m.unread(l)
		nobody := make(map[uint64]bool)
		for seq := range bad {
			if len(bad) > 1 && seq != slices.Max(slices.Collect(maps.Keys(bad))) {
				nobody[seq] = true
			}
		}
		some := func(numbers seqset.Range, take func(message.View) error) error {
			for seq := numbers.From; seq < numbers.To; seq++ {
				if nobody[seq] {
					continue
				}
				if err := take(m.all[seq-m.first]); err != nil {
					return err
				}
			}
			return nil
		}
		if err := m.mend(l, some); err != nil && !errors.Is(err, ErrIncomplete) {
			t.Fatal(err)
		}
		for round := range 3 {
			got := m.unread(l)
			m.want(t, l, got)
			if round < 2 && !maps.Equal(got, nobody) { // a scan leaves out the rest of an MPUB
				t.Errorf("sealed %v, round %d: %v cannot be read, %v is left", sealed, round, got, nobody)
			}
			wantOwned(t, l)
			l.Discard()
			if round == 1 {
				if err := m.fs.Remove(strings.TrimSuffix(m.path, segmentSuffix) + indexSuffix); err != nil {
					t.Fatal(err)
				}
			}
			var rec Recovery
			if l, rec = replicatedNode(m.fs, m.end()).open(t); rec.Lost() < uint64(len(nobody)) {
				t.Errorf("sealed %v, round %d: a start tells of %d, %d are left", sealed, round, rec.Lost(), len(nobody))
			}
		}
		if err := m.mend(l, m.lost); err != nil {
			t.Error(err)
		}
		m.want(t, l, nil)
		l.Discard()
	}
}

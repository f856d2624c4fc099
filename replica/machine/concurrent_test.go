package machine

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"qmq/internal/vfs/crashfs"
)

// While entries are applied there are checkpoints, snapshots, views and
// reclamation, and nothing of it changes what is applied.
func TestAllElseGoesOnBesideApplying(t *testing.T) {
	h := newHistory(t, 21, 400)
	disk := newDisk(1)
	m := open(t, disk, func(o *Options) { o.Go = nil })
	var all sync.WaitGroup
	done := make(chan struct{})
	beside := func(f func() error) {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	beside(func() error { _, err := m.Checkpoint(); return err })
	beside(func() error { m.Reclaim(); m.Missing(); return nil })
	beside(func() error {
		for _, id := range m.Topics() {
			v, err := m.Topic(id)
			if errors.Is(err, ErrNoTopic) {
				continue
			}
			if err != nil {
				return err
			}
			m.SetServed(id, v.Next%2 == 0)
			v.State.Owed(nil, rangeOf(0, v.Next), 5)
			v.Release()
		}
		return nil
	})
	beside(func() error {
		s := m.Snapshot(m.Ends())
		defer s.Close()
		for {
			if _, err := s.Next(nil); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
	must(t, h.applyAll(m, 1<<30))
	close(done)
	all.Wait()
	if !bytes.Equal(encoded(m), encoded(h.m)) {
		t.Error("the state is another")
	}
	_, err := m.Checkpoint()
	must(t, err)
	must(t, m.Close())
	disk.Crash(crashfs.DropAll)
	same(t, open(t, disk), h.m)
}

// Two machines that stop and go on at other moments, and make other checkpoints,
// know the same.
func TestReplicasThatStopAtOtherMomentsKnowTheSame(t *testing.T) {
	for seed := range uint64(40) {
		h := newHistory(t, seed+100, 200)
		for replica := range 2 {
			disk := newDisk(seed)
			for stop := 20 + 7*replica; ; stop += 31 + 13*replica {
				m := open(t, disk)
				index, _ := m.Applied()
				some := *h
				some.entries = h.entries[:min(max(stop, int(index)), len(h.entries))]
				must(t, some.applyAll(m, 17+8*replica))
				if len(some.entries) == len(h.entries) {
					same(t, m, h.m)
					must(t, m.Close())
					break
				}
				switch stop % 3 {
				case 0:
					must(t, m.Close())
				case 1:
					disk.Crash(crashfs.Random)
				default:
					disk.Kill()
				}
			}
		}
	}
}

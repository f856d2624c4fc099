package raftlog

import (
	"errors"
	"math"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// Twelve shards save, read and compact at the same time.
func TestShardsUseTheLogAtTheSameTime(t *testing.T) {
	const count = 200
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.Manual, o.Retain = false, 4*minSegment
	o.Took = func(time.Duration) {}
	l, _ := mustOpen(t, o)
	var shards sync.WaitGroup
	for id := range uint32(12) {
		shards.Go(func() { useShard(t, l, id, count) })
	}
	shards.Go(func() {
		for range count {
			l.Pinning()
		}
	})
	shards.Wait()
	must(t, l.Close())
	if n := len(fsys.Files()); n > 4+2+maxSpares {
		t.Errorf("%d files", n)
	}
	l, r := mustOpen(t, o)
	if !r.Clean {
		t.Errorf("%+v", r)
	}
	for id := range uint32(12) {
		s := l.Shard(id)
		first, last := bounds(s)
		if last != count || hardOf(s).commit != count {
			t.Errorf("shard %d has entries from %d to %d, %+v", id, first, last, hardOf(s))
		}
		wantEntries(t, "after a restart", all(t, s), entries(first, 1, int(last-first+1), 60))
	}
	must(t, l.Close())
}

// useShard saves entries one by one, as raft does, with up to four on their way.
func useShard(t *testing.T, l *Log, id uint32, count uint64) {
	s := l.Shard(id)
	done := make(chan uint64, 4)
	told := uint64(0)
	for i := uint64(1); i <= count; i++ {
		l.Save(&Update{Shard: id, Entries: entries(i, 1, 1, 60), HardState: hard(1, 1, i), Done: func(err error) {
			if err != nil {
				t.Errorf("shard %d, entry %d: %v", id, i, err)
			}
			done <- i
		}})
		if i%4 != 0 {
			continue
		}
		for range 4 {
			if told++; <-done != told {
				t.Errorf("shard %d: told in another order", id)
			}
		}
		if _, last := bounds(s); last != told {
			t.Errorf("shard %d ends at %d, told was %d", id, last, told)
		}
		list, err := s.Entries(told-3, told+1, math.MaxUint64)
		if err != nil || len(list) != 4 {
			t.Errorf("shard %d: %d entries, %v", id, len(list), err)
		}
		l.Compact(id, told-min(told, 8))
	}
	l.Compact(id, count)
}

func TestLateUpdatesAreToldThatTheLogIsClosed(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.Manual = false
	l, _ := mustOpen(t, o)
	results := make(chan error, 2)
	l.Save(&Update{Shard: 1, Entries: entries(1, 1, 1, 1), Done: func(err error) { results <- err }})
	must(t, l.Close())
	l.Save(&Update{Shard: 1, Entries: entries(2, 1, 1, 1), Done: func(err error) { results <- err }})
	must(t, <-results)
	if err := <-results; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestFullDiskIsTriedAgainUntilThereIsRoomOrTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, room := range []bool{true, false} {
			fsys := newDisk(t, 1)
			o := options(fsys.Mount())
			o.Manual = false
			l, _ := mustOpen(t, o)
			synctest.Wait()
			fsys.Limit(fsys.Used())
			var results []error
			for i := range uint64(40) {
				l.Save(&Update{Shard: 1, Entries: entries(i+1, 1, 1, 200), Done: func(err error) { results = append(results, err) }})
			}
			time.Sleep(time.Minute)
			if synctest.Wait(); len(results) == 40 {
				t.Error("all were written on a full disk")
			}
			if room {
				fsys.Limit(-1)
				time.Sleep(retryPause)
				synctest.Wait()
			}
			err := l.Close()
			if len(results) != 40 || errors.Is(results[39], ErrClosed) == room || (err == nil) != room {
				t.Errorf("room again: %v, %d were told, the last of them %v, Close %v", room, len(results), results[len(results)-1], err)
			}
			o.Manual = true
			if _, r := mustOpen(t, o); r.Clean != room || r.Forgetful() {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestItIsToldHowLongTheDiskTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newDisk(t, 1)
		o := options(fsys.Mount())
		o.Manual = false
		var took []time.Duration
		o.Took = func(d time.Duration) { took = append(took, d) }
		l, _ := mustOpen(t, o)
		synctest.Wait()
		fsys.Fail(func(op crashfs.Op, _ string) error {
			if op == crashfs.OpSync {
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		l.Save(&Update{Shard: 1, Entries: entries(1, 1, 1, 200)})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if took[len(took)-1] != 3*time.Second {
			t.Errorf("took %v", took)
		}
		must(t, l.Close())
	})
}

func TestDirectoryThatCannotBeMadeIsAnError(t *testing.T) {
	fsys := newDisk(t, 1)
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpMkdir {
			return syscall.EACCES
		}
		return nil
	})
	if _, _, err := Open(options(fsys.Mount())); !errors.Is(err, syscall.EACCES) {
		t.Errorf("got %v", err)
	}
}

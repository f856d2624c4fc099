package journal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// promise is what callers were told before a crash.
type promise struct {
	topics  map[uint64]bool // committed; false: and deleted again
	asked   map[uint64]bool // sent, answered or not
	sources []*testSource
	acked   map[uint64]uint64 // by channel: flushed up to here
}

// life commits, acknowledges and checkpoints on a file system that may die at
// any call, and notes what was answered. It ends at the first error.
func life(fsys *crashfs.FS, adjust ...func(*Options)) (p promise, err error) {
	p = promise{topics: map[uint64]bool{}, asked: map[uint64]bool{}, acked: map[uint64]uint64{}}
	o := Options{FS: fsys.Mount(), Dir: testDir, CheckpointBytes: 150, Bytes: 60, Logger: quiet()}
	for _, f := range adjust {
		f(&o)
	}
	j, _, err := Open(o)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	for i := range uint64(8) {
		topic, channel := 10*i+1, 10*i+2
		p.asked[topic] = true
		if err := j.Commit(createTopic(topic, fmt.Sprint("t", i)), createChannel(topic, channel, "c")); err != nil {
			return p, err
		}
		p.topics[topic] = true
		s := newTestSource(j, topic, channel, 100)
		j.Attach(s)
		p.sources = append(p.sources, s)
		for n, s := range p.sources {
			s.ack(100+2*i+uint64(n), 101+2*i)
		}
		if err := j.Flush(); err != nil {
			return p, err
		}
		for _, s := range p.sources {
			p.acked[s.channel] = s.floor
		}
		if i%3 == 2 {
			if err := p.deleteTopic(j, topic-20); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (p *promise) deleteTopic(j *Journal, topic uint64) error {
	delete(p.topics, topic) // until it is answered, either is right
	if err := j.Commit(state.Entry{Op: state.DeleteTopic, Topic: topic}); err != nil {
		return err
	}
	p.topics[topic] = false
	return nil
}

// check compares a State with what was promised.
func (p *promise) check(t *testing.T, st *Found, flushed bool) {
	t.Helper()
	if st.Incomplete || st.LostBytes > 0 {
		t.Errorf("incomplete %v, %d bytes lost: nothing was damaged", st.Incomplete, st.LostBytes)
	}
	for id, there := range p.topics {
		if (st.State.Topics[id] != nil) != there {
			t.Errorf("topic %d there: %v, promised %v", id, st.State.Topics[id] != nil, there)
		}
	}
	for id, topic := range st.State.Topics {
		if !p.asked[id] {
			t.Errorf("topic %d was never asked for", id)
		}
		if len(topic.Channels) != 1 {
			t.Errorf("topic %d has %d channels: half a commit", id, len(topic.Channels))
		}
	}
	for _, s := range p.sources {
		c := st.State.Channel(s.topic, s.channel)
		if c == nil {
			continue
		}
		if c.Acked.Floor() > s.floor {
			t.Errorf("channel %d: floor %d, was at %d", s.channel, c.Acked.Floor(), s.floor)
		}
		if flushed && c.Acked.Floor() < p.acked[s.channel] {
			t.Errorf("channel %d: floor %d, flushed %d", s.channel, c.Acked.Floor(), p.acked[s.channel])
		}
	}
}

// everyCrash runs life again and again, with a death at each of its calls of
// the file system that change something, and checks what is found afterwards.
func everyCrash(t *testing.T, die func(*crashfs.FS), check func(*testing.T, promise, *Found), adjust ...func(*Options)) {
	for at := 1; ; at++ {
		fsys := crashfs.New(uint64(at))
		var calls atomic.Int64
		fsys.Fail(func(op crashfs.Op, _ string) error {
			switch op {
			case crashfs.OpOpen, crashfs.OpRead, crashfs.OpReadDir, crashfs.OpLock:
				return nil
			}
			if calls.Add(1) == int64(at) {
				die(fsys)
			}
			return nil
		})
		p, err := life(fsys, adjust...)
		died := calls.Load() >= int64(at)
		fsys.Fail(nil)
		j, st := openJournal(t, fsys, adjust...)
		check(t, p, st)
		must(t, j.Close())
		j, again := openJournal(t, fsys, adjust...)
		check(t, p, again)
		must(t, j.Close())
		if t.Failed() {
			t.Fatalf("after a crash at call %d (%v)", at, err)
		}
		if !died {
			must(t, err)
			t.Logf("%d calls", calls.Load())
			return
		}
	}
}

func TestPowerLossLosesNothingCommittedWhenSynced(t *testing.T) {
	for name, mode := range map[string]crashfs.Mode{"drop all": crashfs.DropAll, "random": crashfs.Random} {
		t.Run(name, func(t *testing.T) {
			everyCrash(t,
				func(fsys *crashfs.FS) { fsys.Crash(mode) },
				func(t *testing.T, p promise, st *Found) { p.check(t, st, false) }, synced)
		})
		t.Run(name+", with a reserve", func(t *testing.T) {
			everyCrash(t,
				func(fsys *crashfs.FS) { fsys.Crash(mode) },
				func(t *testing.T, p promise, st *Found) { p.check(t, st, false) }, synced, smallReserve)
		})
	}
}

func TestPowerLossNeverKeepsTheJournalFromOpeningWhenNotSynced(t *testing.T) {
	for name, mode := range map[string]crashfs.Mode{"drop all": crashfs.DropAll, "random": crashfs.Random} {
		t.Run(name, func(t *testing.T) {
			everyCrash(t,
				func(fsys *crashfs.FS) { fsys.Crash(mode) },
				func(t *testing.T, p promise, st *Found) {
					p.topics = nil // may be lost
					p.check(t, st, false)
				}, smallReserve)
		})
	}
}

func TestKillLosesNothingCommittedOrFlushed(t *testing.T) {
	everyCrash(t,
		func(fsys *crashfs.FS) { fsys.Kill() },
		func(t *testing.T, p promise, st *Found) { p.check(t, st, true) })
	everyCrash(t,
		func(fsys *crashfs.FS) { fsys.Kill() },
		func(t *testing.T, p promise, st *Found) { p.check(t, st, true) }, smallReserve)
}

func smallReserve(o *Options) { o.Reserve = 1 << 10 }

package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/raftlog"
	"qmq/replica/machine"
	"qmq/state"
)

// A member whose log cannot be written gives up all that it leads, also what nobody
// publishes to, and says that it takes no part.
func TestMemberWhoseLogFailsLeadsNothing(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	bad, other := g.members[0], g.members[1]
	led := func(by uint64) (n int) {
		for shard := range uint32(Shards + 1) {
			if other.run.Load().watch.leaderOf(shard) == by {
				n++
			}
		}
		return n
	}
	g.eventually("leaders are spread", func() bool { return led(bad.run.Load().member) > 2 })
	bad.disk.fail(walName)
	g.publish(other, "orders", "first", 1)
	g.eventually("others lead", func() bool { return led(bad.run.Load().member) == 0 && led(0) == 0 })
	g.eventually("it says so", func() bool { return bad.Health() != nil })
	g.publish(g.members[2], "orders", "second", 1)
	g.awaitBodies(other, "orders", "work", "first 0", "second 0")
	bad.disk.fail("")
}

// A member whose log may lack what it acknowledged becomes another one.
func TestMemberInDoubtOfItsLogJoinsAgain(t *testing.T) {
	g := startRig(t)
	m := g.members[1]
	was := m.who().Member
	m.run.Load().found(raftlog.Finding{Kind: raftlog.Doubt, Err: syscall.EIO})
	g.eventually("it has a vote under another id", func() bool {
		now, all := m.who().Member, g.members[0].registry.Load()
		return now != was && all.member(was) == nil && all.member(now) != nil && !all.member(now).Joining
	})
}

// Files of replicated topics that somebody removes are noticed with the next checkpoint,
// and what was in them is fetched from others.
func TestRemovedSegmentOfAReplicatedTopicIsFetched(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "message", 20)
	shard, m := shardOf("orders"), g.members[1]
	has := func(n int) bool {
		r := m.run.Load()
		if r == nil {
			return false
		}
		incarnation, ok := r.machines[shard].Incarnation("orders")
		if !ok {
			return false
		}
		v, err := r.machines[shard].Topic(incarnation)
		if err != nil {
			return false
		}
		defer v.Release()
		records, err := r.machines[shard].Records(incarnation, v.Next-uint64(n), v.Next, 1<<20)
		return err == nil && bytes.Count(records, []byte("message ")) == n
	}
	g.eventually("it has all", func() bool { return has(20) })
	files, err := filepath.Glob(filepath.Join(m.dir, "replicated", "*", "*", "*.seg"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments: %q, %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	g.publish(g.members[0], "orders", "message", 5)
	g.eventually("it has what came later", func() bool { return has(25) })
	r := m.run.Load()
	err = r.shard(shard).Checkpoint()
	if !errors.Is(err, machine.ErrSyncFailed) || !errors.Is(err, vfs.ErrRemoved) {
		t.Fatalf("checkpoint: %v", err)
	}
	r.noCheckpoint(shard, err)
	g.eventually("it begins again", func() bool { now := m.run.Load(); return now != nil && now != r })
	g.eventually("it has all again", func() bool { return has(25) })
	g.eventually("all are on its disk", func() bool { return m.run.Load().shard(shard).Checkpoint() == nil })
}

// A member whose log somebody removes joins its set again as another one.
func TestMemberWhoseLogIsRemovedJoinsAgain(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	m := g.members[1]
	was := m.who().Member
	if err := os.RemoveAll(filepath.Join(m.dir, "raft", walName)); err != nil {
		t.Fatal(err)
	}
	g.publish(g.members[0], "orders", "message", 5)
	g.eventually("it has a vote under another id", func() bool {
		now, all := m.who().Member, g.members[0].registry.Load()
		return now != was && all.member(was) == nil && all.member(now) != nil && !all.member(now).Joining
	})
	g.awaitBodies(g.members[0], "orders", "work", "message 0", "message 1", "message 2", "message 3", "message 4")
}

// One that finds so when it opens its log anew is connected by then: the others know it by the
// id that it gives itself.
func TestWhoForgetsIsKnownByItsNewID(t *testing.T) {
	g := startRig(t)
	m := g.members[1]
	if err := m.forget("its log is damaged"); err != nil {
		t.Fatal(err)
	}
	now := uint64(m.who().Member)
	g.eventually("the others are connected to it under the other id", func() bool {
		return g.members[0].links.Connected(now) && g.members[2].links.Connected(now)
	})
}

// What could not be synced is applied again from the log, and batches get numbers of a
// new epoch.
func TestTopicLogThatCannotBeSyncedIsWrittenAgain(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	bad, other := g.members[0], g.members[1]
	g.publish(bad, "orders", "before", 2)
	before, r, shard := bad.who(), bad.run.Load(), shardOf("orders")
	bad.disk.fail("replicated")
	err := r.shard(shard).Checkpoint()
	if !errors.Is(err, machine.ErrSyncFailed) {
		t.Fatalf("checkpoint: %v", err)
	}
	bad.disk.fail("")
	r.noCheckpoint(shard, err)
	g.publish(other, "orders", "meanwhile", 1)
	g.eventually("it takes part again", func() bool {
		again := bad.run.Load()
		return again != nil && again != r && bad.leaders() == Shards+1
	})
	if now := bad.who(); now.Member != before.Member || now.Epoch <= before.Epoch {
		t.Errorf("it was %s in epoch %d, and is %s in epoch %d", show(before.Member), before.Epoch, show(now.Member), now.Epoch)
	}
	g.publish(bad, "orders", "after", 1)
	for _, m := range g.members {
		g.awaitBodies(m, "orders", "work", "before 0", "before 1", "meanwhile 0", "after 0")
	}
	if err := bad.run.Load().shard(shard).Checkpoint(); err != nil {
		t.Errorf("checkpoint: %v", err)
	}
}

// TestAMissingCheckpointIsToldNowAndThen, of each shard.
func TestAMissingCheckpointIsToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := &run{s: &Set{o: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}, began: time.Now()}
		time.Sleep(time.Hour)
		for range 65 {
			r.noCheckpoint(1, syscall.ENOSPC)
			r.noCheckpoint(2, syscall.ENOSPC)
			time.Sleep(2 * time.Second)
		}
		if n := strings.Count(log.String(), "no checkpoint of a shard"); n != 6 {
			t.Errorf("told %d times", n)
		}
	})
}

// What is amiss with a log is told in words that can be searched for, and without what there is not.
func TestDamageIsLoggedByWhatItIsOf(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
	gone := errors.New("gone")
	logger.Warn("x", damageOf(machine.Finding{Topic: "orders", Finding: diskqueue.Finding{
		Kind: diskqueue.Damaged, Path: "/d/1.seg", Range: seqset.Range{From: 7, To: 9}, Lost: 1, Copy: "/d/1.seg-4.damaged", Err: gone,
	}})...)
	logger.Warn("x", damageOf(machine.Finding{Topic: "orders", Finding: diskqueue.Finding{Kind: diskqueue.Foreign, Path: "/d/1.seg", Err: gone}})...)
	want := "msg=x topic=orders kind=damaged path=/d/1.seg first=7 numbers=2 lost=1 copy=/d/1.seg-4.damaged error=gone\n" +
		"msg=x topic=orders kind=foreign path=/d/1.seg error=gone\n"
	if log.String() != want {
		t.Errorf("%swant\n%s", log.String(), want)
	}
}

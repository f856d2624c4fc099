package raftlog

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs"
)

// BenchmarkSave: twelve shards, each with one update on its way, as raft has.
func BenchmarkSave(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		for _, size := range []int{200, 40_000, 1 << 20} {
			b.Run(fmt.Sprintf("nosync=%v/%d", noSync, size), func(b *testing.B) { benchmarkSave(b, noSync, size) })
		}
	}
}

func benchmarkSave(b *testing.B, noSync bool, size int) {
	const shards = 12
	dir, err := os.MkdirTemp(os.Getenv("RAFTLOG_BENCH_DIR"), "raftlog")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, _, err := Open(Options{FS: vfs.OS, Dir: dir + "/raft/wal", NoSync: noSync, Retain: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for id := range uint32(shards) {
		all.Go(func() {
			done := make(chan error, 1)
			u := &Update{Shard: id, HardState: hard(1, 1, 0)}
			u.Done = func(err error) { done <- err }
			for i := uint64(1); i <= uint64(b.N+shards-1)/shards; i++ {
				u.Entries = []*raftpb.Entry{{Term: new(uint64(1)), Index: new(i), Data: data}}
				l.Save(u)
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
				l.Compact(id, i-1)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

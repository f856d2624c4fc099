package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"qmq/test/process"
)

// Set is three members on this machine that keep the same topics.
type Set struct {
	Members []*Daemon
	binary  string
	dir     string
	placed  map[int]string // directories of members that have them elsewhere than below dir
	peers   []string
	flags   []string
}

const setSize = 3

// StartSet starts a set whose members have their data below dir, and waits until each
// of its shards has a leader. Kill ends it.
func StartSet(ctx context.Context, binary, dir string, flags []string) (*Set, error) {
	s := &Set{Members: make([]*Daemon, setSize), binary: binary, dir: dir, flags: flags}
	if err := os.WriteFile(s.secret(), []byte("the secret of the measured set\n"), 0o600); err != nil {
		return nil, err
	}
	for range setSize {
		address, err := process.FreeAddress()
		if err != nil {
			return nil, err
		}
		s.peers = append(s.peers, address)
	}
	errs := make([]error, setSize)
	var starting sync.WaitGroup
	for i := range setSize {
		starting.Go(func() { errs[i] = s.Start(ctx, i) })
	}
	starting.Wait()
	err := errors.Join(errs...)
	if err == nil {
		err = s.AwaitReady(ctx)
	}
	if err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

func (s *Set) secret() string { return filepath.Join(s.dir, "secret") }

// Dir is where a member has its data.
func (s *Set) Dir(i int) string {
	if dir := s.placed[i]; dir != "" {
		return dir
	}
	return filepath.Join(s.dir, strconv.Itoa(i))
}

// Settle has the disk hold what the members have written.
func (s *Set) Settle() error {
	for i := range s.Members {
		if err := Settle(s.Dir(i)); err != nil {
			return err
		}
	}
	return nil
}

// Place has a member that is not at work have its data in dir from its next start on: on a
// disk of its own, as members do.
func (s *Set) Place(i int, dir string) {
	if s.placed == nil {
		s.placed = make(map[int]string)
	}
	s.placed[i] = dir
}

// Start starts a member that is not at work, with the data that it has.
func (s *Set) Start(ctx context.Context, i int) error {
	if err := os.MkdirAll(s.Dir(i), 0o777); err != nil {
		return err
	}
	d, err := Start(ctx, s.binary, s.Dir(i), append([]string{
		"--https-address=", "--cluster-peers=" + strings.Join(s.peers, ","), "--cluster-address=" + s.peers[i], "--cluster-secret-file=" + s.secret(),
	}, s.flags...))
	if err == nil {
		s.Members[i] = d
	}
	return err
}

// Kill ends all members at once.
func (s *Set) Kill() {
	for _, d := range s.Members {
		if d != nil {
			d.Kill()
		}
	}
}

// Await asks again until it is so, and says what for when that takes too long.
func Await(ctx context.Context, what string, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// shardStatus is what a member tells of one of its shards.
type shardStatus struct {
	Leader string `json:"leader"`
	Turn   string `json:"turn"`
	Lag    uint64 `json:"lag"`
}

// AwaitReady waits until each shard is led by whose turn it is, and every member has
// applied all that is agreed on.
func (s *Set) AwaitReady(ctx context.Context) error {
	return Await(ctx, "all members to have all", func() bool {
		for _, d := range s.Members {
			answer, err := d.Do(ctx, http.MethodGet, "/cluster")
			var told struct {
				Shards []shardStatus `json:"shards"`
			}
			if err != nil || json.Unmarshal(answer, &told) != nil || len(told.Shards) == 0 {
				return false
			}
			for _, shard := range told.Shards {
				if shard.Leader == "" || shard.Leader != shard.Turn || shard.Lag > 0 {
					return false
				}
			}
		}
		return true
	})
}

// Replica is what a member tells of a topic.
type Replica struct {
	Role    string `json:"role"`
	Applied uint64 `json:"applied"`
	Lag     uint64 `json:"lag"`
}

// Replica asks a member for its part in a topic.
func (d *Daemon) Replica(ctx context.Context, topic string) (r Replica, err error) {
	answer, err := d.Do(ctx, http.MethodGet, "/stats?format=json&topic="+topic)
	if err != nil {
		return r, err
	}
	var all struct {
		Topics []struct {
			Replica Replica `json:"replica"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(answer, &all); err != nil || len(all.Topics) != 1 {
		return r, fmt.Errorf("it does not know topic %s: %w", topic, err)
	}
	return all.Topics[0].Replica, nil
}

// Leader is the member that leads a topic, which all know: the others are behind it in
// the list.
func (s *Set) Leader(ctx context.Context, topic string) (leader int, err error) {
	err = Await(ctx, "a leader of "+topic, func() bool {
		leader = -1
		for i, d := range s.Members {
			r, err := d.Replica(ctx, topic)
			if err != nil || r.Lag > 0 {
				return false
			}
			if r.Role == "leader" {
				leader = i
			}
		}
		return leader >= 0
	})
	return leader, err
}

// Address is what the set knows a member by.
func (s *Set) Address(i int) string { return s.peers[i] }

// Signal sends a signal to the process.
func (d *Daemon) Signal(signal syscall.Signal) error { return syscall.Kill(d.PID, signal) }

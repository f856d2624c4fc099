package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"qmq/message"
)

// A message that a client has leased over HTTP may be answered at any member: one that
// has not leased it asks all others. What is asked and answered is of package lease.

// Leased answers a question of another member about what is leased at this one.
type Leased func(ctx context.Context, question []byte) ([]byte, error)

// SetLeased says who answers them.
func (s *Set) SetLeased(f Leased) { s.leased.Store(&f) }

// leaseTime is how long another member may take to answer.
const leaseTime = 5 * time.Second

// AskAll is part of lease.Others.
func (s *Set) AskAll(ctx context.Context, question []byte) (answers [][]byte, complete bool) {
	g := s.registry.Load()
	if g == nil || g.member(s.who().Member) == nil { // who has just joined knows of nobody
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	var (
		mu      sync.Mutex // guards answers and complete
		waiting sync.WaitGroup
	)
	complete = true
	for _, m := range g.Members {
		if m.ID == s.who().Member {
			continue
		}
		waiting.Go(func() {
			answer, err := s.call(ctx, uint64(m.ID), callLease, question)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				complete = false
				return
			}
			answers = append(answers, answer)
		})
	}
	waiting.Wait()
	return answers, complete
}

// InFlight is part of lease.Others.
func (s *Set) InFlight(ctx context.Context, topicName, channelName string, ids []message.ID) ([]bool, error) {
	r, err := s.running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	q := messageQuestion{Topic: topicName, Channel: channelName, Do: messageFlight}
	for i := range ids {
		q.IDs = append(q.IDs, string(ids[i][:]))
	}
	p := &messages{r, shardOf(topicName), topicName, channelName}
	answer, _, err := p.askAbout(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(answer) != len(ids) {
		return nil, errPeek
	}
	flying := make([]bool, len(ids))
	for i, code := range answer {
		flying[i] = code != 0
	}
	return flying, nil
}

var errNoLeases = errors.New("nobody consumes over HTTP here yet")

func (s *Set) answerLeases(ctx context.Context, _ uint64, question []byte) ([]byte, error) {
	f := s.leased.Load()
	if f == nil {
		return nil, errNoLeases
	}
	return (*f)(ctx, question)
}

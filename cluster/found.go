package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"qmq/cluster/link"
)

// How often others are asked while this node is in no set, and how long they may take.
const (
	askEvery    = 250 * time.Millisecond
	answerTime  = 2 * time.Second
	waitingSoon = 3 * time.Second // until it is said for whom
	waitingSays = 30 * time.Second
)

// findSet begins a set or joins one, and opens this node's part in it. It returns nil
// when the node stops, or cannot take part.
func (s *Set) findSet() *run {
	begun := time.Now()
	var told time.Time
	for {
		if s.who().Cluster != 0 {
			break
		}
		next := s.look()
		if err := s.take(next); err != nil {
			next.wait = err.Error()
		}
		s.mu.Lock()
		s.waiting = next.wait
		s.mu.Unlock()
		if now := time.Now(); next.wait != "" && now.Sub(begun) >= waitingSoon && now.Sub(told) >= waitingSays {
			told = now
			s.o.Logger.Info("waiting to begin a set, or to join it", slog.String("for", next.wait))
		}
		if s.who().Cluster == 0 && !s.pause(askEvery) {
			return nil
		}
	}
	s.mu.Lock()
	s.waiting = ""
	s.mu.Unlock()
	r, err := s.open()
	if errors.Is(err, errForgetful) {
		if err = s.forget(err.Error()); err == nil {
			return s.findSet()
		}
	}
	if err != nil {
		s.fail(err)
		return nil
	}
	return r
}

// pause waits; false: the node stops.
func (s *Set) pause(d time.Duration) bool {
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// look asks the others where they stand, and decides what is to be done.
func (s *Set) look() step {
	peers := s.links.Peers()
	others := make([]seen, len(peers))
	var asking sync.WaitGroup
	for n, p := range peers {
		others[n] = seen{address: p.Address, failure: p.Failure}
		if !p.Up {
			continue
		}
		asking.Go(func() {
			stand := new(stand)
			if err := s.ask(p.Hello.Member, callStand, nil, stand); err != nil {
				others[n].failure = err.Error()
				return
			}
			others[n].stand = stand
		})
	}
	asking.Wait()
	s.founding.Lock()
	defer s.founding.Unlock()
	mine := s.stand()
	return decide(place{mine.Member, s.o.Address}, mine, others, func(members []place, level uint32) *record {
		r := newRecord(members, s.o.Number, s.o.Patterns)
		r.Level = level
		return r
	})
}

// stand is where this node stands.
func (s *Set) stand() stand {
	i := s.who()
	st := stand{Member: i.Member, Cluster: i.Cluster, Record: i.Record, Level: Level, Former: i.Former}
	if r := s.run.Load(); r != nil {
		st.Open = r.watch.leaderOf(0) != 0
	}
	return st
}

// ask calls a member with JSON in both directions.
func (s *Set) ask(member uint64, kind byte, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, answerTime)
	defer cancel()
	reply, err := s.call(ctx, member, kind, body)
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(reply, answer)
}

// take takes a step.
func (s *Set) take(next step) error {
	switch next.do {
	case offers:
		return s.offer(next.record)
	case begins:
		return s.beginSet(next.record.Cluster)
	case joins:
		return s.join(next)
	}
	return nil
}

// offer has all keep a record, this node too, and then begins the set.
func (s *Set) offer(r *record) error {
	if err := s.keepOffer(r); err != nil {
		return err
	}
	for _, kind := range []byte{callOffer, callBegin} {
		for _, p := range r.Members {
			if p.Address == s.o.Address {
				continue
			}
			var err error
			if kind == callOffer {
				err = s.ask(uint64(p.Member), kind, r, nil)
			} else {
				err = s.ask(uint64(p.Member), kind, r.Cluster, nil)
			}
			if err != nil && kind == callOffer {
				return fmt.Errorf("%s, which does not take part yet: %w", p.Address, err)
			}
		}
		if kind == callOffer {
			// All have it: whoever does not hear that it begins sees that it has.
			if err := s.beginSet(r.Cluster); err != nil {
				return err
			}
		}
	}
	return nil
}

var errInSet = errors.New("it is in a set already")

// keepOffer keeps a record of a set that may begin.
func (s *Set) keepOffer(r *record) error {
	if err := r.check(); err != nil {
		return err
	}
	s.founding.Lock()
	defer s.founding.Unlock()
	i := s.who()
	switch {
	case i.Cluster != 0:
		return errInSet
	case i.Former != nil:
		return errors.New("it was in a set, and can only join")
	case !r.has(i.Member):
		return errors.New("the record names another member for it")
	case i.Record != nil && i.Record.Cluster == r.Cluster:
		return nil
	}
	i.Record = r
	return s.become(i)
}

// beginSet begins the set whose record this node keeps.
func (s *Set) beginSet(cluster id) error {
	s.founding.Lock()
	defer s.founding.Unlock()
	i := s.who()
	switch {
	case i.Cluster == cluster:
		return nil
	case i.Cluster != 0:
		return errInSet
	case i.Record == nil || i.Record.Cluster != cluster:
		return errors.New("it keeps another record")
	}
	i.Cluster, i.Number = cluster, i.Record.Number
	if err := s.become(i); err != nil {
		return err
	}
	s.o.Logger.Info("a set begins", slog.String("cluster", show(cluster)), slog.Int("number", i.Number), slog.Int("members", len(i.Record.Members)))
	return nil
}

// join becomes a member of a set that is there.
func (s *Set) join(next step) error {
	i := s.who()
	var answer joined
	if err := s.ask(uint64(next.via), callJoin, &member{ID: i.Member, Address: s.o.Address, Level: Level, Version: s.o.Version}, &answer); err != nil {
		return err
	}
	s.founding.Lock()
	defer s.founding.Unlock()
	was := i.Former
	if was == nil {
		was = new(former) // there should be no files, but what a directory holds is never taken for another's
	}
	kept, err := s.file.setAside(s.o.Dir, was)
	if err != nil {
		return err
	}
	switch {
	case kept == "":
	case i.Former == nil: // it never was one
		s.o.Logger.Info("the log that this node had before it joined is kept", slog.String("directory", kept))
	default:
		s.o.Logger.Warn("what this node had as a former member of a set is kept", slog.String("directory", kept))
	}
	i = s.who()
	i.Cluster, i.Number, i.Joined, i.Record, i.Former, i.Ran = answer.Cluster, answer.Number, true, nil, nil, false
	if err := s.become(i); err != nil {
		return err
	}
	s.o.Logger.Info("this node joins a set", slog.String("cluster", show(i.Cluster)), slog.String("member", show(i.Member)))
	return nil
}

// forget makes this node a new member-to-be, since it may have forgotten what it
// acknowledged as the one that it was.
func (s *Set) forget(why string) error {
	i := s.who()
	s.o.Logger.Error("this member may have forgotten what it acknowledged: it joins its set again as a new one", slog.String("member", show(i.Member)), slog.String("reason", why))
	return s.becomeAnother(identity{Member: newID(), Epoch: i.Epoch, Former: &former{Member: i.Member, Cluster: i.Cluster, Why: why}})
}

// handleCalls answers what other members ask.
func (s *Set) handleCalls() {
	s.answer(callStand, func(_ context.Context, from uint64, _ []byte) (any, error) {
		st := s.stand()
		if g := s.registry.Load(); g != nil {
			st.Gone = slices.Contains(g.Gone, id(from))
		}
		return st, nil
	})
	s.answer(callOffer, func(_ context.Context, _ uint64, body []byte) (any, error) {
		r := new(record)
		if err := json.Unmarshal(body, r); err != nil {
			return nil, err
		}
		return nil, s.keepOffer(r)
	})
	s.answer(callBegin, func(_ context.Context, _ uint64, body []byte) (any, error) {
		var cluster id
		if err := json.Unmarshal(body, &cluster); err != nil {
			return nil, err
		}
		return nil, s.beginSet(cluster)
	})
	s.answer(callJoin, s.letJoin)
	s.answer(callPropose, s.proposeFor)
	s.answer(callMove, s.moveFor)
	s.answer(callThere, s.answerThere)
	s.answer(callStatus, func(context.Context, uint64, []byte) (any, error) { return s.Status(), nil })
	s.answerRun(callServe, func(r *run, _ context.Context, _ uint64, body []byte) ([]byte, error) {
		return r.node.Answer(body), nil
	})
	s.answerRun(callPeek, (*run).peek)
	s.answerRun(callMessage, (*run).actOnMessage)
	s.links.HandleCall(callLease, s.answerLeases)
	s.answerRun(callTake, (*run).takeOffer)
	s.links.HandleCallReusing(callPiece, ofRun(s, (*run).givePiece), reusePiece)
	s.answerRun(callRecords, (*run).giveRecords)
}

// answer answers calls of a kind with JSON.
func (s *Set) answer(kind byte, h func(ctx context.Context, from uint64, body []byte) (any, error)) {
	s.links.HandleCall(kind, func(ctx context.Context, from uint64, body []byte) ([]byte, error) {
		answer, err := h(ctx, from, body)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	})
}

var errNoSet = errors.New("this node is in no set yet")

// answerRun answers calls of a kind while this node takes part in its set.
func (s *Set) answerRun(kind byte, h func(r *run, ctx context.Context, from uint64, body []byte) ([]byte, error)) {
	s.links.HandleCall(kind, ofRun(s, h))
}

// ofRun is a handler while this node takes part in its set.
func ofRun(s *Set, h func(r *run, ctx context.Context, from uint64, body []byte) ([]byte, error)) link.CallHandler {
	return func(ctx context.Context, from uint64, body []byte) ([]byte, error) {
		r := s.run.Load()
		if r == nil {
			return nil, errNoSet
		}
		return h(r, ctx, from, body)
	}
}

package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"qmq/state"
)

// What people ask for waits for a leader to be elected and for the connection to it.
func TestRequestsWaitForTheNextLeader(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	lost := g.leader(0)
	rest := g.others(lost)
	lost.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), rigTimeout)
	defer cancel()
	g.asks("add", func() error { return rest[0].Add(ctx, "127.0.0.1:1", "") })
	g.eventually("the other knows", func() bool { return len(rest[1].registry.Load().Expected) == 1 })
	g.asks("remove", func() error { return rest[1].Remove(ctx, "127.0.0.1:1") })
	g.asks("replace", func() error { return rest[1].Add(ctx, "127.0.0.1:1", lost.o.Address) })
	g.asks("move", func() error { return rest[0].Move(ctx, 3, rest[1].o.Address) })
	g.asks("balance", func() error { return rest[1].Balance(ctx) })
	g.eventually("they are done", func() bool {
		now := rest[0].registry.Load()
		return now.Instead["127.0.0.1:1"] == lost.who().Member && len(now.Preferred) == 0
	})
}

// A request through a member that has no connection to the leader yet waits for it.
func TestRequestWaitsForTheConnectionToTheLeader(t *testing.T) {
	g := startRig(t)
	leader := g.leader(0)
	m := g.others(leader)[0]
	for _, address := range []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"} {
		m.links.Drop(uint64(leader.who().Member), errBeginsAgain)
		g.asks("add", func() error { return m.Add(t.Context(), address, "") })
	}
}

// A leadership is moved when its member, which has lost the others for a moment, has them back.
func TestMoveWaitsForALeaderThatIsAloneForAMoment(t *testing.T) {
	const shard = 3
	g := startRig(t)
	for range 5 {
		leader := g.leader(shard)
		others := g.others(leader)
		for _, m := range others {
			leader.links.Drop(uint64(m.who().Member), errBeginsAgain)
		}
		g.asks("move", func() error { return leader.Move(t.Context(), shard, others[0].o.Address) })
	}
}

// Without a majority a request says what is missing, before those who ask give up.
func TestRequestWithoutAMajoritySaysWhatIsMissing(t *testing.T) {
	g := startRig(t)
	left := g.members[0]
	for _, m := range g.members[1:] {
		m.Stop()
	}
	began := time.Now()
	err := left.Add(t.Context(), "127.0.0.1:1", "")
	if err == nil || !strings.Contains(err.Error(), "more than half of it is not there") && !strings.Contains(err.Error(), "no connection to the member 127.0.0.1:") {
		t.Errorf("it says: %v", err)
	}
	if took := time.Since(began); took < requestTimeout-insistEvery {
		t.Errorf("it was given up after %v", took)
	}
}

// asks has people ask for something until it is done. What could not be done just then, as a
// busy machine may have it, was waited for; it may have been done all the same.
func (g *rig) asks(what string, ask func() error) {
	g.t.Helper()
	unsure := false
	g.eventually(what, func() bool {
		began := time.Now()
		err := ask()
		waited := time.Since(began)
		switch {
		case err != nil && passes(err) && waited < requestTimeout-insistEvery:
			g.t.Errorf("%s: it was given up after %v: %v", what, waited, err)
		case err != nil && (passes(err) || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "has not agreed in time")):
			unsure = true
			return false
		case err != nil && !unsure:
			g.t.Errorf("%s: %v", what, err)
		}
		return true
	})
}

// others are the members but one.
func (g *rig) others(but *rigMember) (list []*rigMember) {
	for _, m := range g.members {
		if m != but {
			list = append(list, m)
		}
	}
	return list
}

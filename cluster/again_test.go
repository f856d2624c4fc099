package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"qmq/cluster/link"
)

// again tells whether an error says that the same may be asked for again.
func again(err error) bool {
	var a interface{ Again() bool }
	return errors.As(err, &a) && a.Again()
}

// A member that is down gets no leadership, and nobody is made to wait for it: the refusal
// says who is down, and nothing is agreed on.
func TestLeadershipIsNotMovedToAMemberThatIsDown(t *testing.T) {
	g := startRig(t)
	lost, asked := g.members[2], g.members[0]
	g.eventually("they are connected", func() bool { return len(asked.connected()) == 2 && len(g.members[1].connected()) == 2 })
	lost.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), rigTimeout)
	defer cancel()
	g.eventually("it is refused", func() bool {
		err := asked.Move(ctx, 3, lost.o.Address)
		return errors.Is(err, errDown) && strings.Contains(err.Error(), lost.o.Address) && again(err)
	})
	if err := asked.Balance(ctx); err != nil {
		t.Error(err)
	}
	g.eventually("nobody is preferred", func() bool { return len(asked.registry.Load().Preferred) == 0 })
	if err := asked.Move(ctx, 3, lost.o.Address); !errors.Is(err, errDown) {
		t.Errorf("got %v", err)
	}
	if n := len(asked.registry.Load().Preferred); n != 0 {
		t.Errorf("%d shards are to be led by it", n)
	}
}

func TestRefusalSaysWhetherTheSameMayBeAskedForAgain(t *testing.T) {
	for _, c := range []struct {
		err   error
		again bool
	}{
		{nil, false},
		{errNoLeader, true}, {errNoSet, true}, {errNotAgreed, true}, {errBehind, true}, {context.DeadlineExceeded, true},
		{fmt.Errorf("shard 3 %w", errNoShardLeader), true}, {fmt.Errorf("a:1 %w", errDown), true},
		{&link.RemoteError{Text: errNoLeader.Error()}, true},
		{&link.RemoteError{Text: "there is no member"}, false}, {errors.New("there is no shard 13: there are 0 to 12"), false},
	} {
		err := c.err
		if tellAgain(&err); again(err) != c.again || !errors.Is(err, c.err) {
			t.Errorf("%v: may be asked again: %v", c.err, again(err))
		}
	}
}

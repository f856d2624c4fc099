package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/apiclient"
)

// The actions that change a set of replicas. Each is asked for at one member: the set
// carries it out.
const (
	moveLeader     = "move_leader"
	balanceLeaders = "balance_leaders"
	addMember      = "add_member"
	removeMember   = "remove_member"
)

// ofSet tells whether the order changes a set of replicas.
func (o *order) ofSet() bool {
	switch o.Action {
	case moveLeader, balanceLeaders, addMember, removeMember:
		return true
	}
	return false
}

// validOfSet checks an order that changes a set, as far as that needs no set.
func (o *order) validOfSet() error {
	o.Topic, o.Channel, o.Node = "", "", ""
	switch {
	case o.Set == "":
		return badRequest("The set is missing.")
	case o.Action == moveLeader && o.Shard == nil:
		return badRequest("The shard is missing.")
	case o.Action != balanceLeaders && o.Member == "":
		return badRequest("The address of the member is missing.")
	}
	return nil
}

// setTargets is the member at which a set is changed: one that answers.
func setTargets(c *cluster.Cluster, o *order) ([]cluster.Target, error) {
	missing := func(format string, args ...any) error {
		return &failure{Status: http.StatusNotFound, Code: "NOT_FOUND", Text: fmt.Sprintf(format, args...)}
	}
	doors, known := c.SetDoors(o.Set)
	shard := uint32(0)
	if o.Shard != nil {
		shard = *o.Shard
	}
	hasShard, hasMember := c.SetHas(o.Set, shard, o.Member)
	switch {
	case !known:
		return nil, missing("There is no set %s.", words.Shorten(o.Set))
	case len(doors) == 0:
		return nil, &failure{Status: http.StatusBadGateway, Code: "NO_ANSWER", Text: "No member of the set answers."}
	case o.Action == moveLeader && !hasShard:
		return nil, missing("The set has no shard %d.", shard)
	case (o.Action == moveLeader || o.Action == removeMember) && !hasMember:
		return nil, missing("The set has no member %s.", words.Shorten(o.Member))
	}
	for _, to := range doors {
		if !to.Missed && (o.Only == nil || o.Only.Target == to.ID) {
			return []cluster.Target{to}, nil
		}
	}
	return doors[:1], nil
}

// changeSet does at a member what the order says.
func (s *Server) changeSet(ctx context.Context, o *order, at cluster.Target) error {
	switch n := s.up.nodes; o.Action {
	case moveLeader:
		return explained(n.MoveLeader(ctx, at.Address, *o.Shard, o.Member))
	case balanceLeaders:
		return explained(n.BalanceLeaders(ctx, at.Address))
	case addMember:
		return explained(n.AddMember(ctx, at.Address, o.Member))
	default:
		return explained(n.RemoveMember(ctx, at.Address, o.Member))
	}
}

// refusal is why a node does not do what it was asked for, in words for people.
type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.err }

// explained is the refusal of a node as it words it, which says what to do.
func explained(err error) error {
	if code, why, ok := apiclient.Refusal(err); ok {
		return &refusal{words.Shorten(cmp.Or(why, code)), err}
	}
	return err
}

// said says in few words what became of the order, and what it was about where that is
// no topic.
func (o *order) said(results []result) string {
	about := ""
	switch {
	case o.replays():
		return "from " + o.From + ": " + summary(results)
	case o.configures():
		return o.wanted() + ": " + summary(results)
	case !o.ofSet():
		return summary(results)
	case o.Action == moveLeader:
		about = fmt.Sprintf("shard %d to %s", *o.Shard, o.Member)
	case o.Action == balanceLeaders:
		about = "all shards"
	default:
		about = o.Member
	}
	for _, r := range results {
		if !r.OK {
			return about + ": " + r.Error
		}
	}
	return about
}

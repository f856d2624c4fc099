package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"qmq/internal/apiclient"
)

// clusterCommand is q cluster.
type clusterCommand struct {
	Status  clusterStatus  `cmd:"" help:"Say whether a replicated set is well and, if not, what to do."`
	Members clusterMembers `cmd:"" help:"List the members of a replicated set."`
	Shards  clusterShards  `cmd:"" help:"List the shards of a replicated set: who leads them, and how far the others are behind."`
	Move    clusterMove    `cmd:"" help:"Have a member lead a shard, until balance."`
	Balance clusterBalance `cmd:"" help:"Spread the leaderships over all members again."`
	Add     clusterAdd     `cmd:"" help:"Let a node join that takes nobody's place."`
	Remove  clusterRemove  `cmd:"" help:"Take a member out of its set."`
	Replace clusterReplace `cmd:"" help:"Let a node at another address take the place of a member."`
	Adopt   clusterAdopt   `cmd:"" help:"Make a topic that stays local a replicated one, with its messages."`
	Backup  clusterBackup  `cmd:"" help:"Write all that a replicated set has to a file."`
	Restore clusterRestore `cmd:"" help:"Begin a set from a backup, on a node that does not run."`
}

// setChange is what commands have that change a replicated set.
type setChange struct {
	JSON bool `name:"json" help:"Say in JSON what was done."`
	reach
}

// setTold is what was done to a set, as JSON says it.
type setTold struct {
	Done    string  `json:"done"`
	Shard   *uint64 `json:"shard,omitempty"`
	Topic   string  `json:"topic,omitempty"`
	Member  string  `json:"member,omitempty"`
	Address string  `json:"address,omitempty"`
}

// pollSet is how often a set is asked whether what is waited for has happened.
const pollSet = 200 * time.Millisecond

// act does something to the one set that the nodes are of, and tells of it.
func (s *setChange) act(c console, told setTold, do func(ctx context.Context, set *replicaSet) (line string, err error)) error {
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := s.open()
	if err != nil {
		return err
	}
	defer cl.close()
	set, err := cl.theSet(ctx)
	if err != nil {
		return err
	}
	line, err := do(ctx, set)
	switch {
	case err != nil:
		return err
	case s.JSON:
		return printJSON(c.out, told)
	}
	_, err = fmt.Fprintln(c.out, line)
	return err
}

// ask has a member make a change: the first that can be reached.
func (s *replicaSet) ask(ctx context.Context, path string, pairs ...string) error {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	var errs []error
	for _, n := range s.nodes {
		err := s.cl.api.Post(ctx, apiclient.URL(n.HTTP, path, query), nil, nil)
		var refused *apiclient.StatusError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused):
			return fmt.Errorf("%s: %w", n.Name, refusalOf(refused))
		}
		errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
	}
	return errors.Join(errs...)
}

// await waits until something is so, as far as the members know; missing says what is
// missing, and is empty when nothing is.
func (s *replicaSet) await(ctx context.Context, timeout time.Duration, missing func() string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		_ = s.look(ctx) // what was known last is good enough
		what := missing()
		if what == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not within %v: %s. What was asked for stays in force; q cluster status tells how far it is", timeout, what)
			}
			return fmt.Errorf("interrupted: %s. What was asked for stays in force; q cluster status tells how far it is", what)
		case <-time.After(pollSet):
		}
	}
}

// clusterMove is q cluster move.
type clusterMove struct {
	Shard  uint64        `arg:"" complete:"shard" help:"Number of the shard; 0 is the one that keeps the members."`
	Member string        `arg:"" complete:"member" help:"Address or id of the member."`
	Wait   time.Duration `default:"30s" help:"How long to wait until it leads."`
	setChange
}

// Run moves a leadership. A member that cannot take it yet gets it as soon as it can.
func (m *clusterMove) Run(c console) error {
	return m.act(c, setTold{Done: "moved", Shard: &m.Shard, Member: m.Member}, func(ctx context.Context, set *replicaSet) (string, error) {
		address := set.addressOf(m.Member)
		err := set.ask(ctx, "/cluster/move", "shard", strconv.FormatUint(m.Shard, 10), "to", m.Member)
		if err != nil && !set.prefers(ctx, m.Shard, address) {
			return "", err
		}
		err = set.await(ctx, m.Wait, func() string {
			if leader := set.leader(m.Shard); leader != address {
				return fmt.Sprintf("%s leads shard %d", orNobody(leader), m.Shard)
			}
			return ""
		})
		return fmt.Sprintf("shard %d: led by %s, until q cluster balance", m.Shard, address), err
	})
}

// clusterBalance is q cluster balance.
type clusterBalance struct {
	Wait time.Duration `default:"2m" help:"How long to wait until leaderships are spread."`
	setChange
}

// Run spreads leaderships.
func (b *clusterBalance) Run(c console) error {
	return b.act(c, setTold{Done: "balanced"}, func(ctx context.Context, set *replicaSet) (string, error) {
		if err := set.ask(ctx, "/cluster/balance"); err != nil {
			return "", err
		}
		err := set.await(ctx, b.Wait, func() string {
			if n := set.astray(); n > 0 {
				return plural(int64(n), "shard") + " still to be moved"
			}
			return ""
		})
		return set.balanced(), err
	})
}

// balanced says who leads when nothing is to be moved any more.
func (s *replicaSet) balanced() string {
	var away []string
	for _, m := range s.best().Members {
		if !m.Joining && !s.isThere(&m) {
			away = append(away, m.Address)
		}
	}
	if len(away) > 0 {
		return "leaderships are spread over the members that are there; those of " + english(away) + " come back to it when it is back"
	}
	return "leaderships are spread over all members"
}

// clusterAdd is q cluster add.
type clusterAdd struct {
	Address string        `arg:"" help:"What the node has as its --cluster-address."`
	Wait    time.Duration `default:"0s" help:"How long to wait until a node has joined there and has its vote. 0: only until one may."`
	setChange
}

// Run lets somebody join.
func (a *clusterAdd) Run(c console) error {
	return a.act(c, setTold{Done: "added", Address: a.Address}, func(ctx context.Context, set *replicaSet) (string, error) {
		if m := set.memberAt(a.Address); m != nil && !m.Joining && !m.Leaving {
			return fmt.Sprintf("%s is a member already, so nothing was done; who is started there with an empty data directory takes its place by itself", a.Address), nil
		}
		if err := set.ask(ctx, "/cluster/add", "address", a.Address); err != nil {
			return "", err
		}
		return set.joined(ctx, a.Address, a.Wait, "")
	})
}

// joined waits for somebody at an address, if that is wanted, and says what to do.
func (s *replicaSet) joined(ctx context.Context, address string, timeout time.Duration, instead string) (string, error) {
	place := "as a member more"
	if instead != "" {
		place = "in the place of " + instead
	}
	if timeout == 0 {
		list := s.listWith(address, instead)
		note := ""
		if len(list)%2 == 0 { // as between three members and five
			note = ", and in the list one address more: that of the node that comes next. A list names 3, 5 or 7"
		}
		return fmt.Sprintf("%s is expected, %s, and nobody has joined there yet. Start qd there with\n  --cluster-address=%s --cluster-peers=%s%s\nq cluster status tells how far it is; q cluster remove %s takes this back",
			address, place, address, strings.Join(list, ","), note, address), nil
	}
	err := s.await(ctx, timeout, func() string {
		switch m := s.memberAt(address); {
		case m == nil:
			return "nobody has joined at " + address
		case m.Joining:
			return address + " has joined and has not caught up"
		}
		return ""
	})
	return fmt.Sprintf("%s is in the set %s, with a vote", address, place), err
}

// listWith are the addresses that a node is started with which joins at one of them.
func (s *replicaSet) listWith(address, instead string) (list []string) {
	gone := s.addressOf(instead)
	for _, m := range s.best().Members {
		if m.Address != gone && m.Address != address && !m.Leaving {
			list = append(list, m.Address)
		}
	}
	return append(list, address)
}

// clusterRemove is q cluster remove.
type clusterRemove struct {
	Member string        `arg:"" complete:"member" help:"Address or id of the member; or an address that was added and where nobody has joined."`
	Yes    bool          `short:"y" help:"Do not ask."`
	Wait   time.Duration `default:"1m" help:"How long to wait until it is in no shard any more."`
	setChange
}

// Run removes a member.
func (r *clusterRemove) Run(c console) error {
	return r.act(c, setTold{Done: "removed", Member: r.Member}, func(ctx context.Context, set *replicaSet) (string, error) {
		m := set.member(r.Member)
		if m != nil {
			goes := fmt.Sprintf("remove the member at %s: its set of %s goes on without it", m.Address, plural(int64(len(set.best().Members)), "member"))
			if err := c.confirm(ctx, r.Yes, goes); err != nil {
				return "", err
			}
		}
		if err := set.ask(ctx, "/cluster/remove", "member", r.Member); err != nil {
			return "", err
		}
		if m == nil {
			return "nobody is expected at " + r.Member + " any more", nil
		}
		err := set.await(ctx, r.Wait, func() string {
			if set.member(m.Member) != nil {
				return r.Member + " is still in some shards"
			}
			return ""
		})
		return fmt.Sprintf("%s is no member any more: stop it, and take it out of the others' --cluster-peers", m.Address), err
	})
}

// clusterReplace is q cluster replace.
type clusterReplace struct {
	Member  string        `arg:"" complete:"member" help:"Address or id of the member that goes, dead or alive."`
	Address string        `arg:"" help:"What the node that comes has as its --cluster-address."`
	Wait    time.Duration `default:"0s" help:"How long to wait until a node has joined there and has the vote. 0: only until one may."`
	setChange
}

// Help says when it is not needed.
func (*clusterReplace) Help() string {
	return `A member whose machine or disk is lost needs no command where its address stays: start qd there with an empty data directory, and it takes the place of the one that was there.

` + examples(
		"a member moves to another machine", `q cluster replace qd2.example:4153 qd4.example:4153 --wait=10m`,
	)
}

// Run lets somebody take a member's place.
func (r *clusterReplace) Run(c console) error {
	return r.act(c, setTold{Done: "replaced", Member: r.Member, Address: r.Address}, func(ctx context.Context, set *replicaSet) (string, error) {
		m := set.member(r.Member)
		if m != nil && m.Address == r.Address {
			return "", fmt.Errorf("who is started at %s with an empty data directory takes the place of the member there by itself", r.Address)
		}
		replaced := m == nil && set.memberAt(r.Address) != nil // when it was asked for before
		if !replaced {
			if err := set.ask(ctx, "/cluster/add", "address", r.Address, "replaces", r.Member); err != nil {
				return "", err
			}
		}
		return set.joined(ctx, r.Address, r.Wait, r.Member)
	})
}

// prefers tells whether a shard is to go to a member, once that can take it.
func (s *replicaSet) prefers(ctx context.Context, shard uint64, address string) bool {
	_ = s.look(ctx)
	return slices.ContainsFunc(s.best().Shards, func(sh shardStatus) bool {
		return uint64(sh.Shard) == shard && sh.Preferred && sh.Turn == address
	})
}

func orNobody(address string) string {
	if address == "" {
		return "nobody"
	}
	return address
}

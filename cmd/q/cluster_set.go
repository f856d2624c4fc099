package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	replicated "qmq/cluster"
	"qmq/internal/apiclient"
)

// What members tell of their set.
type (
	memberView   = replicated.Status
	memberStatus = replicated.MemberStatus
	shardStatus  = replicated.ShardStatus
)

// replicaSet is a replicated set, or nodes that are in none yet, as its members see it.
type replicaSet struct {
	cl    *cluster
	nodes []node       // that can be asked
	views []memberView // of each member that tells, by address
}

// sets are those that the nodes are of, by the address of their first member. Nodes
// that are no members are left out, unless none is.
func (c *cluster) sets(ctx context.Context) ([]*replicaSet, error) {
	nodes, err := c.httpNodes(ctx, "")
	if err != nil {
		return nil, err
	}
	answers, errs := make([][]memberView, len(nodes)), make([]error, len(nodes))
	var asking sync.WaitGroup
	for i, n := range nodes {
		asking.Go(func() { answers[i], errs[i] = c.viewsOf(ctx, n) })
	}
	asking.Wait()
	byCluster := make(map[string]*replicaSet)
	for i, n := range nodes {
		if len(answers[i]) == 0 {
			continue
		}
		key := answers[i][0].Cluster
		set := byCluster[key]
		if set == nil {
			set = &replicaSet{cl: c}
			byCluster[key] = set
		}
		set.nodes = append(set.nodes, n)
		set.take(answers[i])
	}
	if len(byCluster) == 0 {
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		return nil, errors.New("the directories know no node")
	}
	return inOrder(byCluster), nil
}

// inOrder are the sets by address. Who is in none belongs to the one that has a place
// for it.
func inOrder(byCluster map[string]*replicaSet) (list []*replicaSet) {
	none := byCluster[""]
	delete(byCluster, "")
	for _, set := range byCluster {
		list = append(list, set)
		if none == nil {
			continue
		}
		outside := none.views
		none.views = nil
		for _, v := range outside {
			if set.hasPlace(v.Address) {
				set.take([]memberView{v})
			} else {
				none.views = append(none.views, v)
			}
		}
	}
	if none != nil && len(none.views) > 0 {
		list = append(list, none)
	}
	slices.SortFunc(list, func(a, b *replicaSet) int { return strings.Compare(a.views[0].Address, b.views[0].Address) })
	return list
}

// hasPlace tells whether somebody at an address would be, or become, one of the set.
func (s *replicaSet) hasPlace(address string) bool {
	return s.memberAt(address) != nil || slices.Contains(s.best().Expected, address)
}

// theSet is the one set that the nodes are of.
func (c *cluster) theSet(ctx context.Context) (*replicaSet, error) {
	list, err := c.sets(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) > 1 {
		return nil, fmt.Errorf("the nodes are of %d sets: name a member of one with --http-addr", len(list))
	}
	return list[0], nil
}

// viewsOf is what a node tells of its set, and what the others tell it: itself first.
func (c *cluster) viewsOf(ctx context.Context, n node) (views []memberView, err error) {
	err = c.api.Get(ctx, apiclient.URL(n.HTTP, "/cluster", url.Values{"members": {"all"}}), &views)
	if apiclient.IsStatus(err, 404) {
		err = errors.New("it is no member of a replicated set: qd becomes one with --cluster-peers")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, refusalOf(err))
	}
	return views, nil
}

// take takes in what a member tells, itself first, in the place of older news.
func (s *replicaSet) take(views []memberView) {
	for i, v := range views {
		at := slices.IndexFunc(s.views, func(known memberView) bool { return known.Member == v.Member })
		switch {
		case at < 0:
			s.views = append(s.views, v)
		case i == 0:
			s.views[at] = v
		}
	}
	slices.SortFunc(s.views, func(a, b memberView) int { return strings.Compare(a.Address, b.Address) })
}

// look asks again.
func (s *replicaSet) look(ctx context.Context) error {
	var errs []error
	for _, n := range s.nodes {
		views, err := s.cl.viewsOf(ctx, n)
		if err == nil && len(views) > 0 {
			s.views = nil
			s.take(views)
			if len(s.best().Members) > 0 && s.best().State == replicated.StateMember {
				return nil
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// best is the view that knows most: that of the leader of the members' shard, or of
// some member that takes part.
func (s *replicaSet) best() *memberView {
	rank := func(v *memberView) int {
		switch {
		case v.Cluster == "":
			return 0
		case v.State != replicated.StateMember:
			return 1
		case len(v.Shards) == 0 || v.Shards[0].Role != "leader":
			return 2
		}
		return 3
	}
	found := &s.views[0]
	for i := range s.views {
		if rank(&s.views[i]) > rank(found) {
			found = &s.views[i]
		}
	}
	return found
}

// member is the one of an address or id; nil: there is none.
func (s *replicaSet) member(name string) *memberStatus {
	members := s.best().Members
	for i := range members {
		if members[i].Member == name {
			return &members[i]
		}
	}
	return s.memberAt(name)
}

// memberAt is the one at an address: who joins there, if somebody does.
func (s *replicaSet) memberAt(address string) (found *memberStatus) {
	members := s.best().Members
	for i := range members {
		if m := &members[i]; m.Address == address && (found == nil || m.Joining) {
			found = m
		}
	}
	return found
}

// addressOf is the address of a member of a name, or the name.
func (s *replicaSet) addressOf(name string) string {
	if m := s.member(name); m != nil {
		return m.Address
	}
	return name
}

// shard is a shard as its leader sees it or, if that does not tell, some member.
func (s *replicaSet) shard(n uint64) (found shardStatus) {
	for _, v := range s.views {
		for _, sh := range v.Shards {
			leads := sh.Role == "leader"
			if uint64(sh.Shard) == n && (found.Role == "" || sh.Term > found.Term || sh.Term == found.Term && (leads || found.Leader == "")) {
				if found.Role == "leader" && !leads && sh.Term == found.Term {
					continue
				}
				found = sh
			}
		}
	}
	return found
}

// leader is the address of who leads a shard; empty: nobody that is known.
func (s *replicaSet) leader(n uint64) string { return s.shard(n).Leader }

// astray is how many shards are not led by the member whose turn it is, though that is
// there.
func (s *replicaSet) astray() (n int) {
	for _, sh := range s.best().Shards {
		m := s.memberAt(sh.Turn)
		if sh.Preferred || m != nil && m.Connected && s.leader(uint64(sh.Shard)) != sh.Turn {
			n++
		}
	}
	return n
}

// namesOfSet are the addresses of members, or the numbers of shards, of all sets.
func (c *cluster) namesOfSet(ctx context.Context, kind string) (list []string, err error) {
	sets, err := c.sets(ctx)
	for _, s := range sets {
		for _, m := range s.best().Members {
			if kind == "member" {
				list = append(list, m.Address)
			}
		}
		for _, sh := range s.best().Shards {
			if kind == "shard" {
				list = append(list, fmt.Sprint(sh.Shard))
			}
		}
	}
	return list, err
}

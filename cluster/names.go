package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/channel"
	"qmq/replica/serve"
)

// A name is that of a replicated topic, or stays local on all members: group 0 says so. A
// member that knows an old state of group 0 must not make it both, so
//   - who leads a shard has heard all that group 0 had agreed on, since it leads, before it
//     makes a topic, and makes none of a name that stays local or is wanted;
//   - a member that is to keep a name local has group 0 agree on that it wants it, asks who
//     leads the name's shard whether there is a replicated topic of that name, and then has
//     group 0 agree on that it stays local, or wants it no more.
//
// Nothing of this is asked of topics that are there. A member that joins with a topic of a
// name that is replicated already has it both ways, as members of older versions may: Status
// tells of that, and Adopt mends it.

// stays tells whether a name stays local on all members.
func (g *registry) stays(name string) bool {
	_, local := slices.BinarySearch(g.Local, name)
	return local
}

// keep has a name stay local.
func (g *registry) keep(name string) {
	g.Local, g.Adopted = with(g.Local, name), without(g.Adopted, name)
	delete(g.Wanted, name)
}

// want notes that a member wants names, as far as they do not stay local yet.
func (g *registry) want(w *wanted) refused {
	if g.member(w.Member) == nil {
		return "there is no such member"
	}
	for _, name := range w.Names {
		if by := g.Wanted[name]; g.stays(name) || slices.Contains(by, w.Member) {
			continue
		}
		if g.Wanted == nil {
			g.Wanted = make(map[string][]id)
		}
		g.Wanted[name] = append(slices.Clip(g.Wanted[name]), w.Member)
	}
	return ""
}

// notWanted says that a name was adopted, or not wanted any more, since it was wanted.
const notWanted = "a name is not wanted any more by the member that is to keep it"

var errNotWanted = errors.New(notWanted)

// keepWanted has names stay local that a member wants, all or none.
func (g *registry) keepWanted(w *wanted) refused {
	for _, name := range w.Names {
		if !g.stays(name) && !slices.Contains(g.Wanted[name], w.Member) {
			return notWanted
		}
	}
	for _, name := range w.Names {
		g.keep(name)
	}
	return ""
}

func (g *registry) waive(w *wanted) {
	for _, name := range w.Names {
		g.unwant(name, w.Member)
	}
}

// unwant notes that a member does not want a name.
func (g *registry) unwant(name string, by id) {
	left := slices.DeleteFunc(slices.Clone(g.Wanted[name]), func(other id) bool { return other == by })
	if len(left) > 0 {
		g.Wanted[name] = left
	} else {
		delete(g.Wanted, name)
	}
}

// localNames is the serve.Names of a run.
type localNames struct{ r *run }

// Hear is part of serve.Names.
func (n localNames) Hear(ctx context.Context) error { return n.r.s.hear(ctx) }

// Refused is part of serve.Names.
func (n localNames) Refused(name string) *serve.NameError {
	g := n.r.s.registry.Load()
	switch by := g.Wanted[name]; {
	case g.stays(name):
		return &serve.NameError{Text: fmt.Sprintf("topic %q stays local, each member has one for itself: q cluster adopt makes it a replicated one", name)}
	case len(by) > 0:
		return &serve.NameError{Text: fmt.Sprintf("topic %q is to stay local, as %s wants: ask again, or have it adopted with q cluster adopt", name, n.r.s.addressesOf(by))}
	case n.r.s.hasLocal(name):
		return &serve.NameError{Text: fmt.Sprintf("topic %q is one that %s has for itself: q cluster adopt makes it a replicated one", name, n.r.s.o.Address)}
	}
	return nil
}

// addressesOf shows members by their addresses.
func (s *Set) addressesOf(members []id) string {
	var list []string
	for _, m := range members {
		list = append(list, s.addressOf(uint64(m)))
	}
	return strings.Join(list, ", ")
}

// hasLocal tells whether this node had a topic for itself when it started, that was not
// adopted since.
func (s *Set) hasLocal(name string) bool { return (*s.local.Load())[name] }

// hear returns when this member has applied all of group 0 that was agreed on when it was
// called, whoever was believed to lead it: an entry that follows all that is agreed on first.
func (s *Set) hear(ctx context.Context) error {
	nothing, err := new(entry).encode()
	if err != nil {
		return err
	}
	return insist(ctx, func(ctx context.Context) error {
		r := s.run.Load()
		if r == nil {
			return errNoSet
		}
		leader := r.watch.leaderOf(0)
		switch leader {
		case 0:
			return errNoLeader
		case r.member:
			return r.proposeHere(ctx, nothing) // which is applied here then
		}
		if _, err := s.call(ctx, leader, callPropose, nothing); err != nil {
			return err
		}
		through, err := s.agreedBy(ctx, leader, 0)
		if err != nil {
			return err
		}
		return s.awaitApplied(ctx, 0, through)
	})
}

// there tells of names of which there are replicated topics, whoever leads them.
func (s *Set) there(ctx context.Context, names []string) (there []string, err error) {
	byShard := make(map[uint32][]string)
	for _, name := range names {
		byShard[shardOf(name)] = append(byShard[shardOf(name)], name)
	}
	for _, n := range slices.Sorted(maps.Keys(byShard)) {
		var some []string
		err := insist(ctx, func(ctx context.Context) (err error) {
			some, err = s.thereIn(ctx, n, byShard[n])
			return err
		})
		if err != nil {
			return nil, err
		}
		there = append(there, some...)
	}
	return there, nil
}

// thereIn is there for names of one shard, asked once.
func (s *Set) thereIn(ctx context.Context, n uint32, names []string) (there []string, err error) {
	r := s.run.Load()
	if r == nil {
		return nil, errNoSet
	}
	leader := r.watch.leaderOf(n)
	switch leader {
	case 0:
		return nil, noLeader(n)
	case r.member:
		return r.thereHere(ctx, names)
	}
	question, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	answer, err := s.call(ctx, leader, callThere, question)
	if err != nil {
		return nil, err
	}
	return there, json.Unmarshal(answer, &there)
}

func (r *run) thereHere(ctx context.Context, names []string) ([]string, error) {
	there, err := r.node.There(ctx, names)
	return there, askAgain(err)
}

// answerThere answers callThere: JSON of names of one shard, and of those of which there are
// replicated topics.
func (s *Set) answerThere(ctx context.Context, _ uint64, body []byte) (any, error) {
	r := s.run.Load()
	if r == nil {
		return nil, errNoSet
	}
	var names []string
	if err := json.Unmarshal(body, &names); err != nil {
		return nil, err
	}
	return r.thereHere(ctx, names)
}

var errReplicated = errors.New("the topic is replicated already")

// errBothWays says that a topic is replicated, and that members have one for themselves.
func errBothWays(name string) error {
	return fmt.Errorf("topic %q is replicated, and local too: q cluster adopt moves what members have for themselves into the replicated one", name)
}

// keepLocal has all members agree that a topic that matches the patterns is not
// replicated. The error is also that there is a replicated one, and then nothing is changed.
func (s *Set) keepLocal(r *run, name string) error {
	if !s.mayReplicate(name) {
		return nil
	}
	ctx, cancel := forPeople(r.ctx)
	defer cancel()
	if s.level.Load() < levelOfNames {
		return s.keepUnasked(ctx, r, name)
	}
	r.wanting.begin(name)
	defer r.wanting.end(name)
	if err := s.hear(ctx); err != nil {
		return err
	}
	if s.registry.Load().stays(name) {
		return s.staysLocal(ctx, name)
	}
	var there []string
	err := insist(ctx, func(ctx context.Context) (err error) {
		there, err = s.keepNames(ctx, r, []string{name})
		return err
	})
	switch {
	case err != nil:
		return err
	case len(there) > 0 && s.hasLocal(name):
		return errBothWays(name)
	case len(there) > 0:
		return errReplicated
	}
	s.awaitRegistry(ctx, func(g *registry) bool { return !g.replicates(name) })
	return nil
}

// mayReplicate tells whether a topic of a name is replicated unless it is kept local.
func (s *Set) mayReplicate(name string) bool {
	if g := s.registry.Load(); g != nil && g.Cluster != 0 {
		return matches(g.Patterns, name)
	}
	return matches(s.o.Patterns, name)
}

// keepUnasked is keepLocal where members of older versions do not know of names that are wanted.
func (s *Set) keepUnasked(ctx context.Context, r *run, name string) error {
	if !s.Replicated(name) {
		return nil
	}
	if r.knowsTopic(name) {
		return errReplicated
	}
	if err := s.agree(ctx, &entry{Local: []string{name}}); err != nil {
		return err
	}
	s.awaitRegistry(ctx, func(g *registry) bool { return !g.replicates(name) })
	return nil
}

// staysLocal says of a name that stays local, as group 0 says, why it is not only that.
func (s *Set) staysLocal(ctx context.Context, name string) error {
	there, err := s.there(ctx, []string{name})
	if err == nil && len(there) > 0 {
		return errBothWays(name)
	}
	return err
}

// keepNames has names stay local, as far as there are no replicated topics of them: there are
// those of which there are.
func (s *Set) keepNames(ctx context.Context, r *run, names []string) (there []string, err error) {
	own := id(r.member)
	if err := s.agree(ctx, &entry{Want: &wanted{own, names}}); err != nil {
		return nil, err
	}
	if there, err = s.there(ctx, names); err != nil {
		return nil, err // they are wanted no more once it is seen that nobody waits for them, see news
	}
	if len(there) > 0 {
		if err := s.agree(ctx, &entry{Waive: &wanted{own, there}}); err != nil {
			return nil, err
		}
	}
	if kept := without(slices.Clone(names), there...); len(kept) > 0 {
		err = s.agree(ctx, &entry{Keep: &wanted{own, kept}})
	}
	if why := refusal(""); errors.As(err, &why) && why == notWanted {
		err = errNotWanted
	}
	return there, err
}

// retryName is how long after it was refused it is tried again to make a topic.
const retryName = 250 * time.Millisecond

// insistOnName does something that may make a topic. Where that is refused, as the name stays
// local or is about to, it waits until this member has heard so: the error is
// channel.ErrExiting then, for the topic is to be looked for once more. The refusal is the
// error where it has not in time.
func (r *run) insistOnName(name string, do func() error) error {
	var late time.Time
	for {
		err := do()
		var refused *serve.NameError
		if err == nil || !errors.As(err, &refused) {
			return err
		}
		if late.IsZero() {
			late = time.Now().Add(leaderTimeout)
		}
		soon, cancel := context.WithTimeout(r.ctx, retryName)
		r.s.awaitRegistry(soon, func(*registry) bool { return !r.s.Replicated(name) })
		cancel()
		switch {
		case !r.s.Replicated(name), r.ctx.Err() != nil:
			return channel.ErrExiting
		case time.Now().After(late):
			return refused
		}
	}
}

// wanting is the names that this member is asked to keep local, and by how many.
type wanting struct {
	mu    sync.Mutex
	names map[string]int // guarded by mu
}

func (w *wanting) begin(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names == nil {
		w.names = make(map[string]int)
	}
	w.names[name]++
}

func (w *wanting) end(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names[name]--; w.names[name] == 0 {
		delete(w.names, name)
	}
}

func (w *wanting) has(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[name] > 0
}

// abandoned are names that this member wants, as group 0 has it, and nobody waits for: it could
// not be told what becomes of them, or ended meanwhile.
func (r *run) abandoned(g *registry) (names []string) {
	for name, by := range g.Wanted {
		if slices.Contains(by, id(r.member)) && !r.wanting.has(name) && !r.s.hasLocal(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// bothWays are the topics that are replicated, as far as this member has applied, and that
// stay local, or that it has for itself and does not move.
func (r *run) bothWays(g *registry) (names []string) {
	both := func(name string) bool { return matches(g.Patterns, name) && r.knowsTopic(name) }
	for _, name := range g.Local {
		if both(name) {
			names = append(names, name)
		}
	}
	for name := range *r.s.local.Load() {
		if !g.stays(name) && both(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

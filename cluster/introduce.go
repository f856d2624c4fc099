package cluster

import (
	"context"
	"log/slog"
	"slices"
)

// introduce has group 0 know what is new of this node: its address and version, and
// topics that it has for itself alone.
func (r *run) introduce() {
	g := r.s.registry.Load()
	e := r.news(g)
	if e == nil || r.watch.leaderOf(0) == 0 || !r.introducing.CompareAndSwap(false, true) {
		return
	}
	r.work(func() {
		defer r.introducing.Store(false)
		if err := r.tellNews(e); err != nil && r.ctx.Err() == nil {
			r.s.o.Logger.Debug("group 0 was not told of this node", slog.Any("error", err))
		}
	})
}

// tellNews proposes an entry of news. Which topics stay local is told only by who has applied
// what was agreed on before: names may have been adopted while this node was away.
func (r *run) tellNews(e *entry) error {
	if len(e.Local) == 0 {
		return r.s.propose(r.ctx, e)
	}
	ctx, cancel := context.WithTimeout(r.ctx, proposeTime)
	defer cancel()
	if err := r.s.catchUp(ctx, 0); err != nil {
		return err
	}
	if e = r.news(r.group0.state().Registry); e == nil || len(e.Local) == 0 {
		return nil
	}
	kept := e.Local
	if r.s.level.Load() < levelOfNames {
		if err := r.s.propose(ctx, e); err != nil {
			return err
		}
	} else {
		there, err := r.s.keepNames(ctx, r, e.Local)
		if err != nil {
			return err
		}
		if kept = without(slices.Clone(kept), there...); len(there) > 0 {
			r.s.o.Logger.Warn("topics of this node are replicated too, and stay local here alone until they are adopted", listed(there)...)
		}
	}
	if len(kept) > 0 {
		r.s.o.Logger.Warn("topics of this node stay local, on all members, until they are adopted", listed(kept)...)
	}
	return nil
}

// listed are attributes that name the first of many topics.
func listed(topics []string) []any {
	return []any{slog.Any("topics", topics[:min(len(topics), 10)]), slog.Int("all", len(topics))}
}

// news is the entry that says what is new of this node; nil: nothing.
func (r *run) news(g *registry) *entry {
	own := g.member(id(r.member))
	if own == nil {
		return nil
	}
	if own.Address != r.s.o.Address || own.Level != Level || own.Version != r.s.o.Version {
		return &entry{Seen: &member{ID: own.ID, Address: r.s.o.Address, Level: Level, Version: r.s.o.Version}}
	}
	if names := r.abandoned(g); len(names) > 0 {
		return &entry{Waive: &wanted{own.ID, names}}
	}
	var local []string
	for name := range *r.s.local.Load() {
		if _, replicated := r.machines[shardOf(name)].Incarnation(name); replicated {
			continue // it stays local here alone
		}
		_, known := slices.BinarySearch(g.Local, name)
		_, adopted := slices.BinarySearch(g.Adopted, name)
		if !known && !adopted && matches(g.Patterns, name) {
			local = append(local, name)
		}
	}
	if len(local) == 0 {
		return nil
	}
	slices.Sort(local)
	return &entry{Local: local[:min(len(local), maxNames)]}
}

// maxNames is how many names an entry tells.
const maxNames = 1000

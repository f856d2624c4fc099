package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/replica/serve"
	"qmq/state"
)

// hearsLate has a member apply nothing of group 0, until the function is called.
func (m *rigMember) hearsLate(t *testing.T) (goOn func()) {
	m.storing.Lock() // which is taken when a registry is
	goOn = sync.OnceFunc(m.storing.Unlock)
	t.Cleanup(goOn)
	return goOn
}

// apart is a member that leads a shard of topics and not group 0, and names of that shard.
func (g *rig) apart() (leader *rigMember, names []string) {
	g.t.Helper()
	const shard = 3
	leader = g.others(g.leader(0))[0]
	g.eventually("it is moved", func() bool { return leader.Move(g.t.Context(), shard, leader.o.Address) == nil })
	for n := 0; len(names) < 2; n++ {
		if name := fmt.Sprint("mine-", n); shardOf(name) == shard {
			names = append(names, name)
		}
	}
	return leader, names
}

// ways are which of the members have a local topic of a name, and which know a replicated one.
func (g *rig) ways(name string) (local, replicated []int) {
	for i, m := range g.members {
		if _, has := m.broker.Existing(name); has {
			local = append(local, i)
		}
		if m.run.Load().knowsTopic(name) {
			replicated = append(replicated, i)
		}
	}
	return local, replicated
}

// publishThrough publishes through a member's broker, as a client does.
func (m *rigMember) publishThrough(name, body string) error {
	p, err := m.broker.Publisher(name)
	if err != nil {
		return err
	}
	_, err = m.broker.Publish(p, batchOf(body))
	return err
}

// keepLocal creates a topic that stays local through a member, as a client does.
func (m *rigMember) keepLocal(name string) error {
	return m.broker.Change(broker.Change{Op: state.CreateTopic, Topic: name, Local: true})
}

// untilDone does something until it is done, or refused for good: on a busy machine there may be
// no leader for longer than one waits for it.
func untilDone(do func() error) (err error) {
	for late := time.Now().Add(rigTimeout); time.Now().Before(late); {
		var refused *serve.NameError
		err = do()
		if err == nil || !passes(err) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errNotAgreed) && !errors.Is(err, serve.ErrNoLeader) && !errors.As(err, &refused) {
			return err
		}
	}
	return err
}

// beside does something so beside the test.
func beside(do func() error) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- untilDone(do) }()
	return func() error { return <-done }
}

// A name that one member keeps local is not made a replicated topic by a member that has not
// heard of it yet, be it who leads the topic's shard: whatever makes it there waits, and makes
// a local one. Where it has made it before it is asked, the name is not kept.
func TestNameThatIsKeptLocalIsNotReplicatedByWhoHasNotHeard(t *testing.T) {
	o := broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() {}}}
	for what, use := range map[string]func(m *rigMember, name string) error{
		"publish": func(m *rigMember, name string) error { return m.publishThrough(name, "a") },
		"create": func(m *rigMember, name string) error {
			return m.broker.Change(broker.Change{Op: state.CreateTopic, Topic: name})
		},
		"subscribe": func(m *rigMember, name string) error {
			k, _, err := m.broker.Subscribe(name, "work", o)
			if err == nil {
				k.Close()
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := startRig(t)
			leader, names := g.apart()
			for i, name := range names { // of the first one it has heard no names yet in its term
				goOn := leader.hearsLate(t)
				keeper := g.others(leader)[0]
				kept := beside(func() error { return keeper.keepLocal(name) })
				g.eventually("it is agreed on that the name is wanted", func() bool {
					agreed := keeper.registry.Load()
					return len(agreed.Wanted[name]) > 0 || agreed.stays(name)
				})
				used := beside(func() error { return use(leader, name) })
				time.AfterFunc(50*time.Millisecond, goOn)
				if err := used(); err != nil {
					t.Fatal(err)
				}
				err := kept()
				local, replicated := g.ways(name)
				switch {
				case i > 0 && errors.Is(err, errReplicated) && len(local) == 0 && len(replicated) > 0:
				case err != nil, len(replicated) > 0, !slices.Contains(local, slices.Index(g.members, leader)), !slices.Contains(local, slices.Index(g.members, keeper)):
					t.Errorf("%s is local at members %v, and replicated as members %v have it: %v", name, local, replicated, err)
				}
			}
		})
	}
}

// A name that is replicated is not kept local, though the member that is asked to keep it has
// not heard of the topic; it goes on as it was.
func TestReplicatedNameIsNotKeptLocal(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	leader := g.leader(shardOf("orders"))
	late := g.others(leader)[0]
	late.goOnSoon(t)
	g.publish(g.others(late)[0], "orders", "m", 1)
	if err := untilDone(func() error { return late.keepLocal("orders") }); !errors.Is(err, errReplicated) {
		t.Error(err)
	}
	for _, m := range g.members {
		g.eventually("nobody wants it any more", func() bool { return len(m.registry.Load().Wanted) == 0 })
		g.publish(m, "orders", "m", 1)
		if local, _ := g.ways("orders"); !m.Replicated("orders") || len(local) > 0 {
			t.Errorf("it is local at members %v", local)
		}
	}
}

// Names that a member wanted and nobody waits for any more may be those of replicated topics.
func TestNameThatNobodyKeepsIsFreeAgain(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	dead := g.members[1]
	left := &entry{Want: &wanted{dead.who().Member, []string{"left"}}}
	if err := untilDone(func() error { return dead.agree(t.Context(), left) }); err != nil {
		t.Fatal(err)
	}
	for _, m := range g.members {
		if err := untilDone(func() error { return m.publishThrough("left", "a") }); err != nil {
			t.Error(err)
		}
	}
	if local, replicated := g.ways("left"); len(local) > 0 || len(replicated) == 0 {
		t.Errorf("it is local at members %v", local)
	}
}

// A member that does not hear the others OKs nothing of which topics stay local, though it
// knows one that does; what it has of that it goes on to take.
func TestWhoIsCutOffKeepsNoNames(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	alone := g.members[0]
	g.local(alone, "mine")
	for _, m := range g.members[1:] {
		g.cut(alone, m)
	}
	g.eventually("it knows no leader", func() bool { return alone.leaders() == 0 })
	var asking sync.WaitGroup
	for _, name := range []string{"mine", "other"} {
		asking.Go(func() {
			if err := alone.keepLocal(name); err == nil || !passes(err) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	asking.Wait()
	if err := alone.publishThrough("mine", "a"); err != nil {
		t.Error(err)
	}
}

// A topic that is both ways, as members of older versions may have made it, is told of, and
// adopting it brings what members have for themselves to the replicated one.
func TestTopicThatIsBothWaysIsToldOfAndMended(t *testing.T) {
	for what, keep := range map[string]func(m *rigMember) error{
		"the set keeps it local": func(m *rigMember) error {
			return m.agree(m.ctx, &entry{Local: []string{"orders"}})
		},
		"a member had it when it joined": func(m *rigMember) error {
			m.local.Store(&map[string]bool{"orders": true})
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := startRig(t)
			keeper := g.members[0]
			g.change(g.members[1], state.CreateTopic, "orders", "")
			g.change(g.members[1], state.CreateChannel, "orders", "work")
			g.publish(g.members[1], "orders", "replicated", 1)
			g.awaitBodies(g.members[1], "orders", "work", "replicated 0")
			g.eventually("the keeper knows it", func() bool { return keeper.run.Load().knowsTopic("orders") })
			if err := untilDone(func() error { return keep(keeper) }); err != nil {
				t.Fatal(err)
			}
			g.eventually("it is local for the keeper", func() bool { return !keeper.Replicated("orders") })
			mine, err := keeper.broker.Topic("orders")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mine.Channel("work"); err != nil {
				t.Fatal(err)
			}
			if err := keeper.publishThrough("orders", "local"); err != nil {
				t.Fatal(err)
			}
			if both := keeper.Status().Both; !slices.Equal(both, []string{"orders"}) {
				t.Errorf("it is told that %q are both ways", both)
			}
			if err := untilDone(func() error { return keeper.keepLocal("orders") }); err == nil || !strings.Contains(err.Error(), "q cluster adopt") {
				t.Error(err)
			}
			if err := untilDone(func() error { return g.members[2].Adopt(t.Context(), "orders") }); err != nil {
				t.Fatal(err)
			}
			g.eventually("nobody has it for itself", func() bool {
				local, _ := g.ways("orders")
				return len(local) == 0 && len(keeper.Status().Both) == 0
			})
			g.eventually("the replicated topic has all", func() bool {
				return slices.Equal(g.sorted(g.members[1], "orders", "work"), []string{"local", "replicated 0"})
			})
		})
	}
}

// Names that a member had for itself when it joined stay local, but for those that are
// replicated: these stay so here alone.
func TestMemberThatJoinsKeepsTheNamesThatAreNotReplicated(t *testing.T) {
	t.Parallel()
	g := startRig(t)
	g.publish(g.members[1], "orders", "m", 1)
	m := g.members[0]
	g.eventually("it knows of the topic", func() bool { return m.run.Load().knowsTopic("orders") })
	m.local.Store(&map[string]bool{"orders": true, "mine": true})
	var there []string
	err := untilDone(func() (err error) {
		there, err = m.keepNames(t.Context(), m.run.Load(), []string{"mine", "orders"})
		return err
	})
	if err != nil || !slices.Equal(there, []string{"orders"}) {
		t.Errorf("%q, %v", there, err)
	}
	for _, m := range g.members {
		g.eventually("mine stays local everywhere", func() bool { return m.registry.Load().stays("mine") && len(m.registry.Load().Wanted) == 0 })
		if m.registry.Load().stays("orders") {
			t.Error("a replicated topic stays local")
		}
	}
	if err := untilDone(func() error { return m.keepLocal("orders") }); err == nil || !strings.Contains(err.Error(), "is replicated, and local too") {
		t.Error(err)
	}
}

func TestNamesAreWantedBeforeTheyStayLocal(t *testing.T) {
	g := newRegistry(newRecord([]place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil))
	must(t, g, &entry{Want: &wanted{1, []string{"a", "b"}}})
	must(t, g, &entry{Want: &wanted{2, []string{"b"}}})
	must(t, g, &entry{Want: &wanted{2, []string{"b"}}})
	if !g.replicates("a") || len(g.Wanted["b"]) != 2 {
		t.Error(g.Wanted)
	}
	if why := through(t, g, &entry{Keep: &wanted{2, []string{"b", "a"}}}); why == "" || g.stays("b") {
		t.Error("names are kept that their member does not want")
	}
	must(t, g, &entry{Waive: &wanted{2, []string{"a", "b"}}})
	must(t, g, &entry{Keep: &wanted{1, []string{"a", "b"}}})
	must(t, g, &entry{Keep: &wanted{1, []string{"a", "b"}}}) // it is asked for again
	if g.replicates("a") || g.replicates("b") || len(g.Wanted) != 0 {
		t.Error(g.Local, g.Wanted)
	}
	must(t, g, &entry{Want: &wanted{3, []string{"c", "a"}}})
	must(t, g, &entry{Adopt: "c"})
	if why := through(t, g, &entry{Keep: &wanted{3, []string{"c"}}}); why == "" || !g.replicates("c") {
		t.Error("an adopted name is kept local by who wanted it before")
	}
	must(t, g, &entry{Want: &wanted{3, []string{"d"}}})
	g.drop(3)
	if len(g.Wanted) != 0 {
		t.Error("a former member wants names", g.Wanted)
	}
	if why := through(t, g, &entry{Want: &wanted{99, []string{"d"}}}); why == "" {
		t.Error("somebody wants names who is no member")
	}
}

package lookup

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/internal/address"
	"qmq/internal/names"
)

// registry is the directory as a user thinks of it: a set of producers for
// each topic and channel, and nothing clever.
type registry struct {
	hosts   map[key]map[string]bool
	hidden  map[key]map[string]bool // had it when it was deleted, and may still have it
	revived map[key]bool            // is there only because such hosts registered it again
}

type key [2]string // topic, channel or ""

func newRegistry() *registry {
	return &registry{map[key]map[string]bool{}, map[key]map[string]bool{}, map[key]bool{}}
}

func (r *registry) create(topic, channel string) {
	for _, k := range []key{{topic, ""}, {topic, channel}} {
		if r.hosts[k] == nil {
			r.hosts[k] = map[string]bool{}
		}
		delete(r.revived, k)
	}
}

func (r *registry) register(host, topic, channel string) {
	for _, k := range []key{{topic, ""}, {topic, channel}} {
		if r.hosts[k][host] {
			continue
		}
		r.revived[k] = r.hidden[k][host] && (r.hosts[k] == nil || r.revived[k])
		delete(r.hidden[k], host)
		if r.hosts[k] == nil {
			r.hosts[k] = map[string]bool{}
		}
		r.hosts[k][host] = true
	}
}

func (r *registry) unregister(host, topic, channel string) {
	for k := range r.hidden {
		if k[0] == topic && (channel == "" || k[1] == channel) {
			delete(r.hidden[k], host)
		}
	}
	r.remove(host, topic, channel)
	for k, hosts := range r.hosts {
		if k[0] == topic && (channel == "" || k[1] == channel) && len(hosts) == 0 && r.revived[k] {
			r.forget(k)
		}
	}
	r.forgetOrphans(topic)
}

func (r *registry) remove(host, topic, channel string) {
	for k, hosts := range r.hosts {
		if k[0] == topic && (channel == "" || k[1] == channel) {
			had := hosts[host]
			delete(hosts, host)
			name := k[1]
			if name == "" {
				name = topic
			}
			// Other channels of a topic go with their last producer only.
			if len(hosts) == 0 && names.IsEphemeral(name) && (had || k[1] == channel) {
				r.forget(k)
			}
		}
	}
	r.forgetOrphans(topic)
}

func (r *registry) forget(k key) {
	delete(r.hosts, k)
	delete(r.revived, k)
}

// forgetOrphans drops the channels of a topic that is not there.
func (r *registry) forgetOrphans(topic string) {
	if _, there := r.hosts[key{topic, ""}]; there {
		return
	}
	for k := range r.hosts {
		if k[0] == topic {
			r.forget(k)
		}
	}
}

func (r *registry) leave(host string) {
	for _, topic := range r.topics() {
		if r.hosts[key{topic, ""}][host] {
			r.remove(host, topic, "")
		}
	}
	for _, hosts := range r.hidden {
		delete(hosts, host)
	}
}

// delete removes what is deleted over HTTP: a channel, or a topic with all.
func (r *registry) delete(topic, channel string) {
	for k, hosts := range r.hosts {
		if k[0] == topic && (channel == "" || k[1] == channel) {
			if r.hidden[k] == nil {
				r.hidden[k] = map[string]bool{}
			}
			maps.Copy(r.hidden[k], hosts)
			r.forget(k)
		}
	}
}

func (r *registry) topics() []string {
	names := []string{}
	for k := range r.hosts {
		if k[1] == "" {
			names = append(names, k[0])
		}
	}
	slices.Sort(names)
	return names
}

func (r *registry) channels(topic string) []string {
	names := []string{}
	for k := range r.hosts {
		if k[0] == topic && k[1] != "" {
			names = append(names, k[1])
		}
	}
	slices.Sort(names)
	return names
}

func TestDBDoesWhatASetOfProducersPerNameWouldDo(t *testing.T) {
	const seed = 3
	random := rand.New(rand.NewPCG(seed, seed))
	d := NewDB(DBOptions{InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour})
	model := newRegistry()
	present := map[string]*producer{}
	topics := []string{"a", "b", "c", "x#ephemeral", "y#ephemeral"}
	channels := []string{"", "", "k", "l", "e#ephemeral", "f#ephemeral"}
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	for step := range 5000 {
		host := fmt.Sprintf("h%02d", random.IntN(20))
		topic, channel := pick(topics), pick(channels)
		p := present[host]
		if p == nil {
			p = d.join("", Identity{BroadcastAddress: host})
			present[host] = p
		}
		switch what := random.IntN(100); {
		case what < 50:
			p.register(topic, channel)
			model.register(host, topic, channel)
		case what < 85:
			p.unregister(topic, channel)
			model.unregister(host, topic, channel)
		case what < 90:
			p.leave()
			delete(present, host)
			model.leave(host)
		case what < 93:
			d.deleteTopic(topic)
			model.delete(topic, "")
		case what < 96 && channel != "":
			if got, want := d.deleteChannel(topic, channel), model.hosts[key{topic, channel}] != nil; got != want {
				t.Fatalf("step %d: channel deleted: %v", step, got)
			}
			model.delete(topic, channel)
		case channel != "":
			d.createChannel(topic, channel)
			model.create(topic, channel)
		default:
			d.createTopic(topic)
			model.create(topic, "")
		}
		compare(t, step, d, model, topics)
		if t.Failed() {
			return
		}
	}
	for _, p := range present {
		p.leave()
	}
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

func compare(t *testing.T, step int, d *DB, model *registry, topics []string) {
	if err := d.check(); err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	if got := d.topicNames(); !reflect.DeepEqual(got, model.topics()) {
		t.Fatalf("step %d: topics %v, want %v", step, got, model.topics())
	}
	byHost := map[string][]string{}
	for _, topic := range topics {
		answer, ok := d.lookup(topic, address.Asker{})
		if ok != (model.hosts[key{topic, ""}] != nil) {
			t.Fatalf("step %d: topic %s is there: %v", step, topic, ok)
		}
		var hidden []string
		for host := range model.hidden[key{topic, ""}] {
			hidden = append(hidden, host+":0")
		}
		if slices.Sort(hidden); !slices.Equal(answer.StillOn, hidden) {
			t.Fatalf("step %d: %s is still on %v, want %v", step, topic, answer.StillOn, hidden)
		}
		if !ok {
			continue
		}
		var hosts []string
		for _, p := range answer.Producers {
			hosts = append(hosts, p.BroadcastAddress)
			byHost[p.BroadcastAddress] = append(byHost[p.BroadcastAddress], topic)
		}
		if want := slices.Sorted(maps.Keys(model.hosts[key{topic, ""}])); !slices.Equal(hosts, want) || !slices.Equal(answer.Channels, model.channels(topic)) {
			t.Fatalf("step %d: %s has %v %v, want %v %v", step, topic, hosts, answer.Channels, want, model.channels(topic))
		}
	}
	for _, n := range d.nodes("", address.Asker{}) {
		if !slices.Equal(n.Topics, byHost[n.BroadcastAddress]) || len(n.Tombstones) != len(n.Topics) {
			t.Fatalf("step %d: %s has topics %v, want %v", step, n.BroadcastAddress, n.Topics, byHost[n.BroadcastAddress])
		}
	}
}

// TestDBHoldsTogetherUnderConcurrentChanges is for the race detector, and for
// the indexes afterwards.
func TestDBHoldsTogetherUnderConcurrentChanges(t *testing.T) {
	d := NewDB(DBOptions{InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour})
	topics := []string{"a", "b", "x#ephemeral"}
	channels := []string{"", "k", "e#ephemeral"}
	var wg sync.WaitGroup
	run := func(seed uint64, step func(random *rand.Rand, topic, channel string)) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, seed))
			for range 3000 {
				step(random, topics[random.IntN(3)], channels[random.IntN(3)])
			}
		})
	}
	for i := range uint64(4) {
		host := Identity{BroadcastAddress: fmt.Sprint("h", i)}
		var p *producer
		run(i, func(random *rand.Rand, topic, channel string) {
			if p == nil {
				p = d.join("", host)
			}
			switch random.IntN(10) {
			case 0:
				p.leave()
				p = nil
			case 1, 2, 3:
				p.unregister(topic, channel)
			default:
				p.register(topic, channel)
				p.heardOf()
			}
		})
	}
	run(10, func(random *rand.Rand, topic, channel string) {
		switch random.IntN(4) {
		case 0:
			d.deleteTopic(topic)
		case 1:
			d.deleteChannel(topic, channel)
		case 2:
			d.tombstone(topic, "h1:0", address.Asker{})
		default:
			d.createTopic(topic)
		}
	})
	run(11, func(_ *rand.Rand, topic, _ string) {
		d.lookup(topic, address.Asker{})
		d.nodes("", address.Asker{})
		d.topicNames()
		d.channelNames(topic)
		d.debugLines(func(map[string][]debugEntry) error { return nil })
	})
	wg.Wait()
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

// TestChurnOfEphemeralNamesLeavesNoMemory: neither when they are unregistered
// nor when the node is gone.
func TestChurnOfEphemeralNamesLeavesNoMemory(t *testing.T) {
	d := NewDB(DBOptions{InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour})
	stays := d.join("", Identity{BroadcastAddress: "a"})
	stays.register("t", "c")
	churn := func(from, to int) {
		goes := d.join("", Identity{BroadcastAddress: "b"})
		for i := from; i < to; i++ {
			name := fmt.Sprintf("%s-%d#ephemeral", strings.Repeat("n", 40), i)
			stays.register("t", name)
			stays.register(name, name)
			goes.register("t", name)
			goes.register(name, "c")
			stays.unregister("t", name)
			stays.unregister(name, "")
			if i%2 == 0 {
				goes.unregister("t", name)
			}
		}
		goes.leave()
	}
	churn(0, 1000)
	before := liveBytes()
	churn(1000, 6000)
	if grown := liveBytes() - before; grown > 64<<10 {
		t.Errorf("%d bytes more", grown)
	}
	if got := d.topicNames(); !slices.Equal(got, []string{"t"}) {
		t.Errorf("%d topics", len(got))
	}
	if got := d.channelNames("t"); !slices.Equal(got, []string{"c"}) {
		t.Errorf("%d channels", len(got))
	}
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

func TestTopicThatHadManyProducersGivesTheirMemoryBack(t *testing.T) {
	d := NewDB(DBOptions{InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour})
	var all []*producer
	for range 1000 {
		p := d.join("", Identity{BroadcastAddress: "a"})
		p.register("t", "c")
		all = append(all, p)
	}
	for _, p := range all[:990] {
		p.leave()
	}
	e := d.shardOf("t").topics.all["t"]
	if len(e.registrations) != 10 || cap(e.registrations) > 64 {
		t.Errorf("%d registrations in the room of %d", len(e.registrations), cap(e.registrations))
	}
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

// TestLeavingADeletedTopicSparesItsSuccessor: a producer that leaves may find
// that one of its topics was deleted, and is there again, since it looked.
func TestLeavingADeletedTopicSparesItsSuccessor(t *testing.T) {
	const topic = "t#ephemeral"
	d := NewDB(DBOptions{InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour})
	leaves, stays := d.join("", Identity{}), d.join("", Identity{})
	leaves.register(topic, "")
	old := d.shardOf(topic).topics.all[topic]
	d.deleteTopic(topic)
	stays.register(topic, "")
	leaves.unregisterTopic(old)
	if answer, ok := d.lookup(topic, address.Asker{}); !ok || len(answer.Producers) != 1 {
		t.Errorf("%v %+v", ok, answer)
	}
	if err := d.check(); err != nil {
		t.Error(err)
	}
}

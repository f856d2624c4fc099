package semantics

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/cluster"
	"qmq/internal/names"
	"qmq/internal/vfs/crashfs"
	"qmq/replica/serve"
	"qmq/test/process"
	"qmq/test/wire"
)

// throughFollower says that nodes of a test are each a member of a set of three that
// leads nothing: what TestThroughAFollower runs.
func throughFollower(t *testing.T) bool { return strings.HasPrefix(t.Name(), "TestThroughAFollower/") }

// set is a set of three in this process. Its second member leads all shards; clients are
// at the first one alone.
type set struct {
	t     *testing.T
	nodes [3]*node
	whole bool // all have been started once

	mu    sync.Mutex
	at    map[string]string // by member's name, the address at which it is in its present life
	dials uint64            // of all members
	log   bytes.Buffer      // of all members

	calm uint64 // what unrest told when it had begun
}

func memberName(i int) string { return string(rune('a'+i)) + ":1" }

// startFollower runs a set until the end of the test, and returns the member that leads
// nothing.
func startFollower(t *testing.T, change []func(*options)) *node {
	t.Helper()
	s := &set{t: t, at: make(map[string]string)}
	t.Cleanup(s.tell) // when all have stopped
	change = append([]func(*options){func(o *options) { o.broker.Logger = slog.New(slog.NewTextHandler(s, nil)) }}, change...)
	for i := range s.nodes {
		disk := crashfs.New(uint64(i))
		n := &node{t: t, disk: disk, mount: disk.Mount, set: s, number: i}
		n.o.broker.DataPath = "/data"
		s.nodes[i] = n
		n.begin(change)
	}
	s.whole = true
	s.lead()
	s.awaitFollower()
	s.calm = s.unrest()
	return s.nodes[0]
}

// Write keeps a line of a member's log.
func (s *set) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(line)
}

// tell says what the members logged if the test has failed.
func (s *set) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.t.Failed() {
		s.t.Logf("the set logged:\n%s", s.log.String())
	}
}

// unrest grows whenever members lose each other, or their leader.
func (s *set) unrest() (sum uint64) {
	for _, shard := range s.nodes[0].member.Status().Shards {
		sum += shard.Term
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return sum + s.dials
}

// disturbed tells whether members of the node's set have lost each other or their leader
// since it began, as they do when nothing runs on this machine for a second: what was on
// its way to clients comes again then.
func (n *node) disturbed() bool { return n.set != nil && n.set.unrest() != n.set.calm }

// member makes a node's part in the set, for the life that begins.
func (s *set) member(n *node) *cluster.Set {
	l := listen(s.t)
	s.mu.Lock()
	s.at[memberName(n.number)] = l.Addr().String()
	s.mu.Unlock()
	o := cluster.Options{
		FS: n.o.broker.FS, Dir: n.o.broker.DataPath, Address: memberName(n.number), Listener: l, Dial: s.dial,
		Number: 6, Election: 300 * time.Millisecond, LogBytes: 64 << 20, LogFileBytes: 1 << 20, BootID: "boot", Version: "test", Logger: n.o.broker.Logger,
	}
	for i := range s.nodes {
		o.Peers = append(o.Peers, memberName(i))
	}
	return cluster.New(o)
}

func (s *set) dial(ctx context.Context, member string) (net.Conn, error) {
	s.mu.Lock()
	address := s.at[member]
	s.dials++
	s.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// enter has a node take part.
func (n *node) enter() {
	n.t.Helper()
	b := n.broker
	host := cluster.Host{
		Disk: b.Disk(), Common: b.TopicCommon(), SegmentBytes: n.o.broker.SegmentBytes, HotMessages: n.o.broker.MemQueueSize,
		NodeID: int(n.o.broker.NodeID), MaxTopics: n.o.broker.MaxTopics, Topic: b.Existing, Delete: b.DeleteTopic,
	}
	if err := n.member.Start(host); err != nil {
		n.t.Fatal(err)
	}
}

// lead has the second member lead all shards, and none of them go to another one.
func (s *set) lead() {
	s.t.Helper()
	to := s.nodes[1].member
	process.Eventually(s.t, "leaders", func() bool {
		shards := to.Status().Shards
		for _, shard := range shards {
			if shard.Leader == "" {
				return false
			}
		}
		return len(shards) > 0
	})
	var moving sync.WaitGroup
	for shard := range uint32(cluster.Shards + 1) {
		moving.Go(func() {
			var err error
			for range 5 { // whoever leads may be about to lose it
				if err = to.Move(s.t.Context(), shard, memberName(1)); err == nil {
					return
				}
			}
			s.t.Error(err)
		})
	}
	moving.Wait()
}

// awaitFollower waits until the first member knows all that the others agreed on.
func (s *set) awaitFollower() {
	s.t.Helper()
	process.Eventually(s.t, "the follower has all there is", func() bool {
		own, leading := s.nodes[0].member.Status().Shards, s.nodes[1].member.Status().Shards
		for i := range leading {
			if leading[i].Role != "leader" || len(own) <= i || own[i].Leader != memberName(1) || own[i].Applied < leading[i].Commit {
				return false
			}
		}
		return len(leading) > 0
	})
}

// unfinished tells whether a frame only says that a message will come again, of a set that
// was disturbed.
func (n *node) unfinished(kind int, data string) bool {
	return kind == wire.Error && strings.HasPrefix(data, "E_FIN_FAILED ") && n.disturbed()
}

// add adds what the leader tells of a topic to what the first member tells, as tools do
// that ask all nodes. The topic may be gone there.
func (s *set) add(own topicStats) (sum topicStats, ok bool) {
	s.t.Helper()
	if names.IsEphemeral(own.Name) {
		return own, true
	}
	leader := s.awaitLeader(serve.ShardOf(own.Name, cluster.Shards) + 1)
	if leader.number == 0 {
		return own, true
	}
	if sum, ok = leader.findTopic(own.Name); !ok {
		return sum, false
	}
	for i := range sum.Channels {
		c := &sum.Channels[i]
		for _, o := range own.Channels {
			if o.Name == c.Name {
				c.ClientCount += o.ClientCount
				c.Clients = append(c.Clients, o.Clients...)
			}
		}
	}
	return sum, true
}

// awaitLeader waits until the leader of a shard has applied what the first member has: who
// publishes through that one is answered by it. On a machine that is busy another one than
// the second may lead for a while.
func (s *set) awaitLeader(shard uint32) (leader *node) {
	s.t.Helper()
	own := s.nodes[0].member.Status().Shards[shard].Applied
	process.Eventually(s.t, "the leader has what the follower has", func() bool {
		leader = nil
		term := uint64(0)
		for _, n := range s.nodes {
			if of := n.member.Status().Shards; int(shard) < len(of) && of[shard].Role == "leader" && of[shard].Term > term && of[shard].Applied >= own {
				leader, term = n, of[shard].Term
			}
		}
		return leader != nil
	})
	return leader
}

// TestThroughAFollower has a follower of a set be to clients what a node alone is. Not
// among these are tests of what a node does with its own disk, memory and process: what
// becomes of a set then is tried by test/crashset. Sets mostly wait, so two are at work
// at a time.
func TestThroughAFollower(t *testing.T) {
	all := []struct {
		name string
		test func(*testing.T)
	}{
		{"DeferredPublishIsDueAsLongAfterThePublishWhateverComesBetween", TestDeferredPublishIsDueAsLongAfterThePublishWhateverComesBetween},
		{"DelaysAreBounded", TestDelaysAreBounded},
		{"RequeuedMessageKeepsItsAttemptsAndDueTimeOverARestart", TestRequeuedMessageKeepsItsAttemptsAndDueTimeOverARestart},
		{"ManyDeferredMessagesComeInTheOrderOfTheirTime", TestManyDeferredMessagesComeInTheOrderOfTheirTime},
		{"AttemptsLastOverARestart", TestAttemptsLastOverARestart},
		{"MessageThatComesBackIsAvailableAtOnce", TestMessageThatComesBackIsAvailableAtOnce},
		{"PoisonMessagesBlockNobody", TestPoisonMessagesBlockNobody},
		{"FreshMessagesDoNotStarveThoseThatCameBack", TestFreshMessagesDoNotStarveThoseThatCameBack},
		{"ChannelReadsInTheOrderOfTheLog", TestChannelReadsInTheOrderOfTheLog},
		{"ConsumersOfAChannelShareItInOrder", TestConsumersOfAChannelShareItInOrder},
		{"TheIDIsTheSameInAllChannelsAndLives", TestTheIDIsTheSameInAllChannelsAndLives},
		{"NothingWaitsForTheOutputBuffer", TestNothingWaitsForTheOutputBuffer},
		{"TouchExtendsUpToTheLongestTimeout", TestTouchExtendsUpToTheLongestTimeout},
		{"LateFinOfARedeliveryToTheSameConnectionCounts", TestLateFinOfARedeliveryToTheSameConnectionCounts},
		{"LoweredReadyCountRecallsNothing", TestLoweredReadyCountRecallsNothing},
		{"ClientAndChannelCountersTellWhatHappened", TestClientAndChannelCountersTellWhatHappened},
		{"MpubIsAllOrNothing", TestMpubIsAllOrNothing},
		{"Envelope", TestEnvelope},
		{"BodiesAreBounded", TestBodiesAreBounded},
		{"ParametersComeFromTheQueryOnly", TestParametersComeFromTheQueryOnly},
		{"WhatIsPublishedOverHTTPIsDelivered", TestWhatIsPublishedOverHTTPIsDelivered},
		{"AThousandConsumersShareAChannel", TestAThousandConsumersShareAChannel},
		{"TopicDeletedUnderFullTraffic", TestTopicDeletedUnderFullTraffic},
		{"ChannelEmptiedWhileConsumersTake", TestChannelEmptiedWhileConsumersTake},
		{"StopUnderLoadIsNotHeldUpByClients", TestStopUnderLoadIsNotHeldUpByClients},
		{"EphemeralOnesLastNoLongerThanTheyShould", TestEphemeralOnesLastNoLongerThanTheyShould},
		{"AnyValidNameWorks", TestAnyValidNameWorks},
		{"LinesMayEndInCRLFAndCarryMoreThanTheyNeed", TestLinesMayEndInCRLFAndCarryMoreThanTheyNeed},
		{"DoubledBlanksMakeEmptyParameters", TestDoubledBlanksMakeEmptyParameters},
		{"WhatIsAllowedInWhichState", TestWhatIsAllowedInWhichState},
		{"AfterCLSOnlyAnswersCount", TestAfterCLSOnlyAnswersCount},
		{"IdentifyBorders", TestIdentifyBorders},
		{"IdentifyShowsInStats", TestIdentifyShowsInStats},
		{"IdentifySettingsCountForTheConnectionOnly", TestIdentifySettingsCountForTheConnectionOnly},
		{"SilentClientIsClosedWithoutAFrame", TestSilentClientIsClosedWithoutAFrame},
		{"ConsumersBeyondTheLimitAreRefused", TestConsumersBeyondTheLimitAreRefused},
		{"ReadyCountsUpToTheLimit", TestReadyCountsUpToTheLimit},
		{"ChecksComeInTheirOrder", TestChecksComeInTheirOrder},
		{"DaemonThatStopsClosesConnectionsWithoutAFrame", TestDaemonThatStopsClosesConnectionsWithoutAFrame},
		{"StatsHaveNSQsKeysInNSQsOrder", TestStatsHaveNSQsKeysInNSQsOrder},
		{"StatsShowWhatIsAskedFor", TestStatsShowWhatIsAskedFor},
		{"FirstChannelGetsTheBacklogAndLaterOnesStartAtTheEnd", TestFirstChannelGetsTheBacklogAndLaterOnesStartAtTheEnd},
		{"ChannelCreatedWhilePublishingGetsAllThatIsOKdAfterwards", TestChannelCreatedWhilePublishingGetsAllThatIsOKdAfterwards},
		{"PausedTopicCollectsForAllChannels", TestPausedTopicCollectsForAllChannels},
		{"PausesLastOverARestart", TestPausesLastOverARestart},
		{"PausedChannelKeepsWhatIsInFlight", TestPausedChannelKeepsWhatIsInFlight},
		{"ChannelDepthIsWhatANewConsumerCouldGet", TestChannelDepthIsWhatANewConsumerCouldGet},
		{"BackendDepthIsWhatIsNotInMemory", TestBackendDepthIsWhatIsNotInMemory},
		{"DepthsAreExactAfterARestart", TestDepthsAreExactAfterARestart},
		{"EmptiedTopicDropsOnlyWhatWaitsInIt", TestEmptiedTopicDropsOnlyWhatWaitsInIt},
		{"EmptiedChannelDropsWaitingInFlightAndDeferred", TestEmptiedChannelDropsWaitingInFlightAndDeferred},
		{"DeletionClosesConsumersAndARecreatedNameSharesNothing", TestDeletionClosesConsumersAndARecreatedNameSharesNothing},
	}
	for half := range 2 {
		t.Run([]string{"half", "other half"}[half], func(t *testing.T) {
			t.Parallel()
			for i := half; i < len(all); i += 2 {
				t.Run(all[i].name, all[i].test)
			}
		})
	}
}

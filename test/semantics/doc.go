// Package semantics holds the tests of what clients and operators can rely on,
// over real sockets: what becomes of a message when topics and channels come
// and go, when the node is stopped, killed or loses power, when the disk or the
// descriptors run out, and when the clock is set. All of it is in test files.
// Most tests run a broker and its servers in their own process, on a disk in
// memory that can crash; two run a qd of its own. TestThroughAFollower runs what is not
// about a node's own disk and memory once more, through a member of a set that leads nothing.
//
// What is promised, and the tests that hold it to that. Those of other packages
// that work over sockets too are named with their package.
//
//	topic without channels    TestFirstChannelGetsTheBacklogAndLaterOnesStartAtTheEnd
//	channel created while     TestChannelCreatedWhilePublishingGetsAllThatIsOKdAfterwards
//	  publishing
//	paused topic, channel     TestPausedTopicCollectsForAllChannels, TestPausesLastOverARestart,
//	                          TestPausedChannelKeepsWhatIsInFlight
//	topic and channel depth   TestChannelDepthIsWhatANewConsumerCouldGet
//	backend_depth             TestBackendDepthIsWhatIsNotInMemory
//	depth after restart       TestDepthsAreExactAfterARestart
//	empty                     TestEmptiedTopicDropsOnlyWhatWaitsInIt,
//	                          TestEmptiedChannelDropsWaitingInFlightAndDeferred,
//	                          TestChannelEmptiedWhileConsumersTake
//	delete                    TestDeletionClosesConsumersAndARecreatedNameSharesNothing,
//	                          TestTopicDeletedUnderFullTraffic,
//	                          server: TestPublishAfterDeletionGoesToTheNewTopic
//	DPUB, /pub?defer=         TestDeferredPublishIsDueAsLongAfterThePublishWhateverComesBetween,
//	                          TestManyDeferredMessagesComeInTheOrderOfTheirTime,
//	                          TestDelaysAreBounded, TestDeferredMessagesTakeLittleMemory
//	REQ                       TestRequeuedMessageKeepsItsAttemptsAndDueTimeOverARestart,
//	                          TestDelaysAreBounded
//	attempts                  TestAttemptsLastOverARestart, TestAttemptsSaturate
//	disconnect, timeout,      TestMessageThatComesBackIsAvailableAtOnce,
//	  REQ 0                   TestPoisonMessagesBlockNobody,
//	                          TestFreshMessagesDoNotStarveThoseThatCameBack,
//	                          TestLateFinOfARedeliveryToTheSameConnectionCounts,
//	                          server: TestFinOfTimedOutMessageFailsButKeepsConnection
//	order                     TestChannelReadsInTheOrderOfTheLog, TestConsumersOfAChannelShareItInOrder
//	output buffering          TestNothingWaitsForTheOutputBuffer
//	what OK means, MPUB       TestWhatIsOKdSurvives, TestMpubIsAllOrNothing,
//	                          TestStopUnderLoadIsNotHeldUpByClients, test/crash
//	refused publish           TestRefusedPublishesAreAnsweredEachOnItsOwn,
//	                          TestFullDiskRefusesWithTheReasonAndTakesMoreWhenThereIsRoom,
//	                          TestWithoutFreeDescriptors
//	slow or absent consumer   TestMemoryDoesNotGrowWithWhatNobodyTakes, TestAMillionMessagesInFlight,
//	                          server: TestClientThatNeverReadsIsCutOff, TestSlowConsumerIsNotCutOff
//	many consumers            TestAThousandConsumersShareAChannel, server: TestNoWakeIsLost
//	clock                     TestStepsOfTheWallClockMoveNoDelay, test/crash
//	#ephemeral                TestEphemeralOnesLastNoLongerThanTheyShould,
//	                          server: TestEphemeralTopicEndsWithItsLastChannel
//	names, ids                TestAnyValidNameWorks, TestTheIDIsTheSameInAllChannelsAndLives
//
// The V2 protocol:
//
//	start and lines           TestLinesMayEndInCRLFAndCarryMoreThanTheyNeed, TestDoubledBlanksMakeEmptyParameters,
//	                          server: TestBadMagic, TestLineTooLongClosesWithoutFrame, TestTruncated,
//	                          TestFatalErrorArrivesWhileTheClientStillSends
//	states                    TestWhatIsAllowedInWhichState
//	error texts               TestChecksComeInTheirOrder, server: TestErrors
//	pipelining                server: TestPipelinedCommandsAreAnsweredInOrder, TestOKOfSubComesBeforeMessages
//	IDENTIFY                  TestIdentifyBorders, TestIdentifyShowsInStats,
//	                          TestIdentifySettingsCountForTheConnectionOnly, server: TestIdentifyAnswer
//	heartbeats                TestSilentClientIsClosedWithoutAFrame, server: TestHeartbeats…
//	RDY                       TestReadyCountsUpToTheLimit, TestLoweredReadyCountRecallsNothing,
//	                          server: TestReadyIsACeilingOnMessagesInFlight
//	TOUCH                     TestTouchExtendsUpToTheLongestTimeout, server: TestGoNSQTouchKeepsAMessage
//	CLS                       TestAfterCLSOnlyAnswersCount, server: TestCloseWaitIsTheEndOfDelivery,
//	                          TestHalfClosedConnectionGetsItsAnswers
//	consumer limit            TestConsumersBeyondTheLimitAreRefused
//	closing                   TestDaemonThatStopsClosesConnectionsWithoutAFrame
//	counters                  TestClientAndChannelCountersTellWhatHappened
//
// The HTTP API; the server's own tests hold the table of all routes and their
// mistakes:
//
//	envelope                  TestEnvelope
//	routing                   TestWrongMethodsAreToldTheRightOnes, TestNearlyRightPathsAreRedirected,
//	                          TestBytesThatAreNotHTTPAreAnswered400
//	parameters and bodies     TestParametersComeFromTheQueryOnly, TestBodiesAreBounded,
//	                          TestWhatIsPublishedOverHTTPIsDelivered
//	/stats                    TestStatsHaveNSQsKeysInNSQsOrder, TestStatsShowWhatIsAskedFor,
//	                          TestStatsTextIsLaidOutForPeople
//	/info, /config            TestInfoTellsTheRealPorts, TestConfigShowsAndChangesOptions
package semantics

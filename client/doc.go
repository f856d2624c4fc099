// Package client publishes to and consumes from nodes of Q, wherever these are: it
// finds them through directories (qlookupd, nsqlookupd) or takes a list, spreads what
// is published over those that take it, healthiest first, and goes to the next one
// when one fails. [Batcher] collects messages for fewer, larger publishes,
// [Client.Consume] gives them to a handler, [Client.Request] and [Client.Reply] have
// programs ask one another. [Client.Feed] keeps a consumer of go-nsq connected.
//
// # What is retried
//
// A publish is OK, which is a nil error, when a node has said so; then it is stored as
// the node's settings say. Otherwise:
//
//   - A node that cannot be reached, and one that refuses for now (it is drained, its
//     disk is full, a limit of the topic is reached), has stored nothing. The next node
//     is tried, then all again, until Options.Patience is over: the error is an
//     *[UnpublishedError], and nothing of it was stored.
//   - A refusal that other nodes would repeat (a bad topic, a message too big, missing
//     rights) is returned at once, a *[RefusedError]. Nothing was stored.
//   - A publish that was sent, and whose answer was lost with the connection or not
//     waited for to the end, may be stored or not. It is not sent again by itself, which
//     might store it twice: the error is an *[UnansweredError].
//   - If all messages of it have a dedup id, it is sent again to the same node, which
//     knows its doubles, until that answers or Patience is over. With
//     Options.Replicated any node of the set knows them, and the next one is tried. The
//     topic must have a dedup_window for that. With Options.Duplicates it is sent again
//     to any node, and may be stored twice.
//
// Messages of one call are stored all or none, in their order, in one topic of one
// node; calls of several goroutines have no order among them.
//
// # Why not go-nsq alone
//
// Connections are the module's own, and not go-nsq's: its IDENTIFY has a fixed set of
// keys, so that it cannot ask for headers, its consumer ends a connection that sends a
// frame of a type that it does not know, its producer has no context and does not tell
// a publish that was never sent from one whose answer was lost, which is what decides
// whether it may be sent again. Programs that need none of that go on with go-nsq, and
// [Client.Feed] tells its consumers of nodes at once.
//
// # Threads
//
// A client has a goroutine for each topic that it publishes to and directory, which
// waits for changes there, up to 256 topics, and one for each connection. Consume and
// Reply have as many as they have handlers and connections, and end them before they
// return; [Client.Close] ends all others and waits for them.
package client

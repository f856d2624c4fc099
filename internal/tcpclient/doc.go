// Package tcpclient speaks the V2 protocol to nodes, qd and nsqd alike, for
// programs that move many messages: it publishes and consumes in batches, and
// answers a whole batch with one write. It follows directories, connects again
// by itself and never answers a message on its own account: who consumes says
// what is finished.
//
// A Producer has a goroutine that reads the connection. It ends with the
// connection, and Close waits for it. A Consumer has two for each connection, one
// that reads and one that tells the node what is due; both end with it, and Run
// waits for them.
package tcpclient

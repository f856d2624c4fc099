// Package tcpclient speaks the V2 protocol to nodes, qd and nsqd alike, for
// programs that move many messages: it publishes and consumes in batches, and
// answers a whole batch with one write. It follows directories, connects again
// by itself and never answers a message on its own account: who consumes says
// what is finished.
//
// A Producer and each Subscription have a goroutine that reads the connection. It
// ends with the connection, and Close waits for it.
package tcpclient

// Package nodeclient asks nodes, qd and nsqd alike, over their HTTP API: what they
// hold, and to change it. It merges nothing and remembers nothing but names it
// has seen. It starts no goroutine.
package nodeclient

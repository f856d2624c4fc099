// Package api is the HTTP API of a node, and what it tells of the node's figures:
// /stats, and reports to statsd. It reads requests, calls the broker's topics and
// channels, and answers; it stores nothing and decides nothing about messages
// itself.
//
// Threads: one acceptor per listener, one goroutine per connection, and one for
// statsd, which sleeps between reports.
package api

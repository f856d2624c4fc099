// Package server is the TCP sessions of a node, which speak the NSQ V2 protocol. It
// parses, calls the broker's topics and channels, and answers; it stores nothing
// and decides nothing about messages itself. How bytes come and go is the job of
// server/stream.
//
// Threads: one acceptor per listener; per connection one goroutine that reads,
// and one that delivers only while there is something to deliver; heartbeats
// are timers. An idle connection holds no buffer.
package server

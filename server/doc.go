// Package server is the network face of a broker: the TCP sessions that speak
// the NSQ V2 protocol and the HTTP API. It parses, calls the broker's topics
// and channels, and answers; it stores nothing and decides nothing about
// messages itself.
//
// Threads: one acceptor per listener; per connection one goroutine that reads,
// and one that delivers only while there is something to deliver; heartbeats
// are timers. An idle connection holds no buffer.
package server

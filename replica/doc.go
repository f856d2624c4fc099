// Package replica is one shard's share in the agreement of several nodes: it
// brings entries into the order that a majority has, and applies them to the
// node's machine in that order. It never says that an entry is applied before
// it is, and never answers a peer before what the answer rests on is saved.
//
// The decisions are in a core without goroutine, clock or I/O, which the raft
// library drives elections and logs for; events go in, effects come out. Around
// it each shard has two goroutines: one for the core, one that applies, so that
// a slow disk delays no heartbeat.
package replica

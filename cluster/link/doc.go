// Package link connects the members of a set. Each pair has two connections, one
// of which carries what is small and must not wait (heartbeats, votes), the other
// one all that may be large, so that no entry or snapshot delays a heartbeat. Both
// are made, checked and lost together: a peer is up while it has both.
//
// It knows who the other side is, with a secret that all members share or with
// certificates, and refuses one that does not belong here with a line, on both
// sides, that says what is wrong and what to do. It does not know what frames
// mean, keeps nothing on disk, and sends nothing twice: what was sent over a
// connection that is lost may have arrived or not.
//
// Threads: one goroutine accepts. Each peer that this side dials has one that does
// so, each handshake under way one of its own, which becomes that of the
// connections; and each connection has a reader, on which handlers run, and a
// writer. Calls that are answered have a goroutine each.
package link

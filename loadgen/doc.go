// Package loadgen puts load on a daemon that speaks the V2 protocol, qd or
// nsqd, and measures it. Every message is numbered and every byte that comes
// back is checked, so that what is measured is also known to be right. It
// speaks the protocol itself, with one goroutine and a few reused buffers per
// connection, because the server is to be measured and not a client library;
// what the generator itself uses is part of each result.
//
// A run has a warm-up and a measured part. Each ends when all that was
// published has been answered and delivered, so a rate is that of finished
// work. At a fixed rate, latency counts from the moment at which a message was
// due and not from when the generator got round to it.
package loadgen

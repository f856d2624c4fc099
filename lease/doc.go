// Package lease consumes for clients without a connection of their own: each of their
// requests for messages is a consumer of the channel, which keeps what it was given in
// flight after the request's end, until the messages are answered, by whatever request,
// or their time is over. It never writes to a client and keeps nothing on the disk: a
// lease ends with the process, as a consumer's connection does. A consumer of a channel that
// another node may serve is kept for the next request for a while. Its goroutines are those
// of the requests; a timer per consumer forgets leases that have run out, and one closes
// consumers that were kept.
package lease

// Package cluster is what is known of a cluster at one moment, and an hour of it:
// nodes, directories, sums over them, history, what needs attention, and the
// views of it that the page shows. It is pure: it asks nobody, reads no clock and
// starts no goroutine. Whoever asks the nodes hands their answers in, and the time.
package cluster

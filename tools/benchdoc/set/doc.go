// Package set measures what it costs that topics are replicated: three members on this
// machine beside an unreplicated qd, in turn, so that what else goes on meets both; and
// for how long publishers and consumers wait when a member fails. It measures sets beside
// JetStream too, three nats-servers that keep a stream in three replicas on disk.
package set

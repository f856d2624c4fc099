// Package lookup is the directory of who has which topics, from both sides.
//
// [DB] holds what producers have registered, in memory only; [TCP] takes their
// registrations and [HTTP] answers questions about them. [Client] asks such
// directories and merges their answers; [Announcer] registers the topics and
// channels of a node with them, sees to it that they stay registered, and finds
// out what the node has to learn of a new topic. [Resolver] finds directories
// that are given by name. The package moves no messages and stores nothing on
// disk.
//
// A TCP server has a goroutine per connection, which lives as long as it, and an
// announcer one per directory, which has another one while it asks, and one
// while there are names to resolve; the others have none of their own.
package lookup

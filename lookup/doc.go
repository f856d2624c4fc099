// Package lookup is the directory of who has which topics, from both sides.
//
// [DB] holds what producers have registered, in memory only; [TCP] takes their
// registrations and [HTTP] answers questions about them. [Client] asks such
// directories and merges their answers; [Announcer] registers the topics and
// channels of a node with them. The package moves no messages and stores
// nothing on disk.
//
// A TCP server has a goroutine per connection, which lives as long as it; a DB
// has none of its own.
package lookup

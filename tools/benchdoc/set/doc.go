// Package set measures what it costs that topics are replicated: three members on this
// machine beside an unreplicated qd, in turn, so that what else goes on meets both; and
// for how long publishers and consumers wait when a member fails.
package set

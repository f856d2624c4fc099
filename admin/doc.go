// Package admin is the view of a whole cluster: what all nodes hold, an hour of
// it, what needs attention, and the means to change it. It serves NSQ's admin
// API for scripts and one of its own for the page, which package web holds. It
// stores nothing on disk and moves no messages.
//
// A Server has one collector goroutine, which asks all nodes for all viewers;
// each question to a node under way has a goroutine for as long as it takes, and
// so has each viewer's stream. Reports to the notification endpoint have one.
package admin

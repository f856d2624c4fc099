// Package httpapi is what the HTTP APIs of the daemons have in common: NSQ's
// envelope of answers and refusals, the routes for options and profiles, and a
// server with time limits. It knows no topic and no node. Its only goroutines
// are those of net/http.
package httpapi

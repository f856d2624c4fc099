// Package table compares qd with nsqd over a table of loads: it starts both
// daemons in turn, each time with a fresh data directory and ports of its own,
// measures each row several times, and tells medians, ratios and whether they
// meet the row's bars.
package table

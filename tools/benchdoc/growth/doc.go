// Package growth measures how what a message costs depends on one quantity at
// a time: its size, the channels, the connections, the topics, and what stands
// in the daemon already. It starts the daemons itself, on empty directories,
// and writes tables, JSON and a chart.
package growth

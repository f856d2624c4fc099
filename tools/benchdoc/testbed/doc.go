// Package testbed has what is measured and where: a daemon at work as a process
// of its own, with its data and topics, and the machine that it runs on.
package testbed

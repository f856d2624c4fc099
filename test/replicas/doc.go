// Package replicas holds tests of sets of qd processes that keep the same topics,
// with stock clients: its members are killed, stopped, wiped and started again. It has
// no code of its own.
package replicas

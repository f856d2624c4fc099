// Package crashset holds the test of real faults of a replicated set: three qd
// processes under load from stock clients, whose members are killed, stopped, cut off,
// wiped and filled at random moments, and a ledger of what was OK'd and finished. It has
// no code of its own.
package crashset

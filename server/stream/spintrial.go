package stream

import "time"

const (
	// trialWaits is how many waits are spun through, and then slept through, to find
	// out which is faster, and settledWaits for how many that is good. With a trial
	// every few thousand waits the slower of the two takes next to nothing.
	trialWaits   = 64
	settledWaits = 4096
	// maxSleptWait is how long a wait that is slept through may be for its client to
	// count as quick: waking up takes its time.
	maxSleptWait = 4 * maxShortWait
)

// trial compares the waits of a quick client that are spun through with those that
// are slept through:
//
//	trySpinning ──trialWaits──> trySleeping ──trialWaits──> settled ──settledWaits──> trySpinning
type trial struct {
	phase  trialPhase
	waits  int              // noted in this phase
	took   [2]time.Duration // all waits of trySpinning and of trySleeping
	faster trialPhase       // of the two, while settled
}

type trialPhase uint8

const (
	trySpinning trialPhase = iota
	trySleeping
	settled
)

// sleeps says that the next wait is to be slept through.
func (t *trial) sleeps() bool {
	return t.phase == trySleeping || t.phase == settled && t.faster == trySleeping
}

// longest is how long a wait may be for the client to count as quick.
func (t *trial) longest() time.Duration {
	if t.sleeps() {
		return maxSleptWait
	}
	return maxShortWait
}

// note takes account of a wait that was spun or slept through as sleeps said.
func (t *trial) note(wait time.Duration) {
	if t.phase != settled {
		t.took[t.phase] += wait
	}
	t.waits++
	switch {
	case t.phase == settled && t.waits >= settledWaits:
		*t = trial{}
	case t.phase == trySpinning && t.waits >= trialWaits:
		t.phase, t.waits = trySleeping, 0
	case t.phase == trySleeping && t.waits >= trialWaits:
		t.phase, t.waits, t.faster = settled, 0, trySpinning
		if t.took[trySleeping] < t.took[trySpinning] {
			t.faster = trySleeping
		}
	}
}

package config

// ImportMode says what becomes of the data that an nsqd left in the data directory.
type ImportMode int

// The values of ImportMode.
const (
	ImportOn     ImportMode = iota // it is imported
	ImportOff                      // it is left alone
	ImportDryRun                   // what an import would do is printed, and nothing is started
)

var importModes = []word[ImportMode]{{"on", ImportOn, 0}, {"off", ImportOff, 1}, {"dry-run", ImportDryRun, 2}}

// String is the word for it.
func (m ImportMode) String() string { return wordFor(importModes, m).text }

// Package archtest holds no code: its tests read the picture of the house in
// docs/architecture.md and check that the packages import one another only as it
// draws it, and that the files it names are there.
package archtest

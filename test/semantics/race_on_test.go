//go:build race

package semantics

// underRace tells tests of large numbers to make do with a tenth of them: all
// takes ten times as long.
const underRace = true

//go:build !race

package semantics

const underRace = false

package server

import "runtime"

// Version is what IDENTIFY, /info and /stats report. It is a plain dotted
// version because clients compare it as numbers.
const Version = "2.0.0"

// VersionString is the line by which a program says what it is, such as
// "qd v2.0.0 (built w/go1.26)".
func VersionString(program string) string {
	return program + " v" + Version + " (built w/" + runtime.Version() + ")"
}

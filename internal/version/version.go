// Package version says which version this is.
package version

import "runtime"

// Number is what the daemons report over every protocol. It is a plain dotted
// version because clients compare it as numbers.
const Number = "2.0.0"

// String is the line by which a program says what it is, such as
// "qd v2.0.0 (built w/go1.26)".
func String(program string) string {
	return program + " v" + Number + " (built w/" + runtime.Version() + ")"
}

// Package version says which version this is.
package version

import "runtime"

// Number is what the daemons report over every protocol. It is a plain dotted
// version because clients compare it as numbers.
const Number = "2.0.0"

// commit is that of the sources, put in by the linker where a release is built
// (-X qmq/internal/version.commit=…); empty elsewhere.
var commit string

// String is the line by which a program says what it is, such as
// "qd v2.0.0 (built w/go1.26)", with the commit in a release.
func String(program string) string {
	built := "built w/" + runtime.Version()
	if commit != "" {
		built += ", commit " + commit
	}
	return program + " v" + Number + " (" + built + ")"
}

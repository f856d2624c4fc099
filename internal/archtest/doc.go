// Package archtest holds no code: its test checks that the packages import one
// another only as docs/architecture.md draws it.
package archtest

package config

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrHelp is returned when help was asked for. The daemon shows its usage
	// and exits with 0.
	ErrHelp = errors.New("help was asked for")
	// ErrUsage is what [Mistakes] is when the command line itself cannot be
	// read. The daemon shows its usage and exits with 2; with other mistakes it
	// exits with 1.
	ErrUsage = errors.New("bad command line")
)

// Mistakes is all that is wrong with a command line and a configuration file:
// at least one error, each a line of text that says what is allowed.
type Mistakes []error

// Error has one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, err := range m {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is look at each.
func (m Mistakes) Unwrap() []error { return m }

// usageError is a mistake of the command line's form.
type usageError string

func (e usageError) Error() string        { return string(e) }
func (e usageError) Is(target error) bool { return target == ErrUsage }

// review collects what is to be said about a start.
type review struct {
	mistakes Mistakes
	warnings []string
}

func (r *review) mistake(format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Errorf(format, args...))
}

func (r *review) usage(format string, args ...any) {
	r.mistakes = append(r.mistakes, usageError(fmt.Sprintf(format, args...)))
}

func (r *review) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

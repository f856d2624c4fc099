// Package names says what topics and channels may be called. It has no state.
package names

// MaxLength is the length of the longest topic or channel name in bytes, its
// suffix included.
const MaxLength = 64

// EphemeralSuffix ends the name of a topic or channel that is not kept.
const EphemeralSuffix = "#ephemeral"

// nameByte tells which bytes a name consists of before its suffix.
var nameByte = func() (t [256]bool) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	for i := range len(allowed) {
		t[allowed[i]] = true
	}
	return t
}()

// Valid tells whether name may name a topic or a channel: letters, digits,
// '.', '_' and '-', at least one of them, then perhaps EphemeralSuffix; at most
// MaxLength bytes in all.
func Valid[T string | []byte](name T) bool {
	if len(name) == 0 || len(name) > MaxLength {
		return false
	}
	for i := range len(name) {
		if !nameByte[name[i]] {
			return i > 0 && string(name[i:]) == EphemeralSuffix
		}
	}
	return true
}

// Rule says which names are valid.
const Rule = "a name is up to 64 letters, digits, '.', '_' or '-', and may end in #ephemeral"

// Refusals are the codes with which the HTTP APIs refuse a name, each with
// what is allowed, for the log: the answers are NSQ's.
var Refusals = map[string]string{
	"INVALID_TOPIC": Rule, "INVALID_ARG_TOPIC": Rule, "INVALID_CHANNEL": Rule, "INVALID_ARG_CHANNEL": Rule,
}

// IsEphemeral tells whether a valid name is that of an ephemeral topic or
// channel.
func IsEphemeral[T string | []byte](name T) bool {
	return len(name) > len(EphemeralSuffix) && string(name[len(name)-len(EphemeralSuffix):]) == EphemeralSuffix
}

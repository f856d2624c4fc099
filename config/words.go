package config

import (
	"crypto/tls"
	"log/slog"
	"strconv"
	"strings"
)

// word is one of the few values that an option may have.
type word[T comparable] struct {
	text   string
	value  T
	number int // in GET /config
}

// oneOf is the kind of options with few values, written in any case.
func oneOf[T comparable](words []word[T]) kind[T] {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	last := len(texts) - 1
	expects := strings.Join(texts[:last], ", ") + " or " + texts[last]
	parse := func(text string) (v T, ok bool) {
		for _, w := range words {
			if strings.EqualFold(text, w.text) {
				return w.value, true
			}
		}
		return v, false
	}
	return kind[T]{
		word: "word", unit: "word", expects: expects,
		parse: parse,
		toml: func(v any) (T, bool) {
			text, _ := scalarText(v)
			return parse(text)
		},
		show:        func(v T) string { return wordFor(words, v).text },
		render:      func(v T) string { return strconv.Itoa(wordFor(words, v).number) },
		body:        func(body []byte) (T, bool) { return parse(string(body)) },
		bodyExpects: expects,
	}
}

func wordFor[T comparable](words []word[T], v T) (found word[T]) {
	for _, w := range words {
		if w.value == v {
			return w
		}
	}
	return found
}

// LogLevel is the lowest level that is logged. It is a [slog.Leveler].
type LogLevel slog.Level

// LevelFatal is the level of the one line before a failed start ends.
const LevelFatal = slog.LevelError + 4

var logLevels = []word[LogLevel]{
	{"debug", LogLevel(slog.LevelDebug), 1},
	{"info", LogLevel(slog.LevelInfo), 2},
	{"warn", LogLevel(slog.LevelWarn), 3},
	{"error", LogLevel(slog.LevelError), 4},
	{"fatal", LogLevel(LevelFatal), 5},
}

// Level is part of [slog.Leveler].
func (l LogLevel) Level() slog.Level { return slog.Level(l) }

// String is the word for it, in lower case.
func (l LogLevel) String() string { return wordFor(logLevels, l).text }

// TLSRequired says who must use TLS.
type TLSRequired int

// The values of TLSRequired.
const (
	TLSNotRequired        TLSRequired = iota // nobody must
	TLSRequiredExceptHTTP                    // clients over TCP must
	TLSRequiredAlways                        // everybody must; the HTTP port only refuses
)

var tlsRequirements = []word[TLSRequired]{
	{"false", TLSNotRequired, 0},
	{"true", TLSRequiredAlways, 2},
	{"tcp-https", TLSRequiredExceptHTTP, 1},
}

// tlsRequirement is nearly a switch: all spellings of true and false are
// taken, and the flag alone means true.
func tlsRequirement() kind[TLSRequired] {
	k := oneOf(tlsRequirements)
	words := k.parse
	k.word, k.byItself = "bool-like", true
	k.parse = func(text string) (TLSRequired, bool) {
		switch v, ok := parseBool(text); {
		case !ok:
			return words(text)
		case v:
			return TLSRequiredAlways, true
		default:
			return TLSNotRequired, true
		}
	}
	k.toml = func(v any) (TLSRequired, bool) {
		text, _ := scalarText(v)
		return k.parse(text)
	}
	return k
}

// TLSVersion is a version number of crypto/tls.
type TLSVersion uint16

var tlsVersions = []word[TLSVersion]{
	{"tls1.0", tls.VersionTLS10, tls.VersionTLS10},
	{"tls1.1", tls.VersionTLS11, tls.VersionTLS11},
	{"tls1.2", tls.VersionTLS12, tls.VersionTLS12},
	{"tls1.3", tls.VersionTLS13, tls.VersionTLS13},
}

// safestTLS is the oldest version that is spoken unless one asks for an older
// one. nsqd begins at tls1.0.
const safestTLS = TLSVersion(tls.VersionTLS12)

// tlsVersion takes nothing for the default, as nsqd does.
func tlsVersion() kind[TLSVersion] {
	k := oneOf(tlsVersions)
	words := k.parse
	k.parse = func(text string) (TLSVersion, bool) {
		if text == "" {
			return safestTLS, true
		}
		return words(text)
	}
	k.toml = func(v any) (TLSVersion, bool) {
		text, ok := scalarText(v)
		if !ok {
			return 0, false
		}
		return k.parse(text)
	}
	return k
}

// SigTerm says what SIGTERM does to qd.
type SigTerm int

// The values of SigTerm.
const (
	SigTermStop  SigTerm = iota // it stops in good order, as nsqd does
	SigTermDrain                // it is drained, and stops then
)

var sigTerms = []word[SigTerm]{
	{"stop", SigTermStop, 0},
	{"drain", SigTermDrain, 1},
}

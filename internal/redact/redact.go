// Package redact takes secrets out of what is shown: users and passwords of
// URLs, tokens in their paths and queries, and paths on this machine's disks. It
// has no state.
package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// mark stands for what was taken out.
const mark = "redacted"

// plainWords are parts of paths that are no secret.
var plainWords = []string{"", "auth", "api", "graphite", "hook", "hooks", "lookup", "notification", "notifications", "notify", "nsqadmin", "nsqd", "nsqlookupd", "ping", "q", "qadmin", "qd", "qlookupd", "render", "services", "stats", "v1", "v2", "v3", "webhook", "webhooks"}

// URL takes the secrets out of one URL. Host and port stay, and so do the parts
// of the path that are plain words and the names of parameters. What is no URL
// comes back as it is.
func URL(text string) string {
	if !strings.Contains(text, "://") {
		if at := strings.LastIndexByte(text, '@'); at > 0 && strings.Contains(text[:at], ":") && !strings.ContainsAny(text[:at], "/ ") {
			return mark + text[at:] // user:password@host:port
		}
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		scheme, _, _ := strings.Cut(text, "://")
		return scheme + "://" + mark // who knows what is in it
	}
	if u.User != nil {
		u.User = url.User(mark)
	}
	parts := strings.Split(u.Path, "/")
	for i, part := range parts {
		if !slices.Contains(plainWords, part) {
			parts[i] = mark
		}
	}
	u.Path, u.RawPath = strings.Join(parts, "/"), ""
	if u.RawQuery != "" {
		query := u.Query()
		for name := range query {
			query[name] = []string{mark}
		}
		u.RawQuery = query.Encode()
	}
	if u.Fragment != "" {
		u.Fragment, u.RawFragment = mark, ""
	}
	return u.String()
}

// inText is a URL within other text: it ends where no URL goes on, but for what
// stands before an @, which is a password with anything in it.
var inText = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^\s/"]*@)?[^\s"'<>,;\\]+`)

// Text takes the secrets out of all URLs in a text.
func Text(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return inText.ReplaceAllStringFunc(text, func(found string) string {
		// What follows a URL in a sentence is not a part of it.
		end := strings.TrimRight(found, ".:!?)]")
		return URL(end) + found[len(end):]
	})
}

// Argument takes the secrets out of one argument of a command line, such as
// --name=URL.
func Argument(text string) string {
	if flag, value, ok := strings.Cut(text, "="); ok && strings.HasPrefix(flag, "-") {
		if strings.Contains(value, "://") {
			return flag + "=" + Text(value)
		}
		parts := strings.Split(value, ",")
		for i, part := range parts {
			parts[i] = URL(part)
		}
		return flag + "=" + strings.Join(parts, ",")
	}
	return URL(text)
}

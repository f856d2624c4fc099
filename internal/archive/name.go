package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-strftime"
)

// Naming says what files are called.
type Naming struct {
	// Format is a path below the directory, with <TOPIC>, <HOST>, <PID>, <DATETIME>
	// and <REV>, a number that makes a name that nothing has yet.
	Format   string
	DateTime string // format of <DATETIME>, as strftime has it; in UTC only if UTC says so
	UTC      bool
	Host     string
	PID      int
}

// revision is what a name has where another file may have the same one.
const revision = "<REV>"

// Check finds mistakes. Where a file may come after another of the same name,
// which is always unless Append, a revision is needed.
func (n *Naming) Check(appends bool) error {
	if !appends && !strings.Contains(n.Format, revision) {
		return errors.New("the format of file names needs <REV>, so that nothing is written over")
	}
	if _, err := n.path("topic", time.Unix(0, 0), 0); err != nil {
		return err
	}
	return nil
}

// path is the name of the file of a topic that begins at a time; below the
// directory, whatever the topic is called.
func (n *Naming) path(topic string, at time.Time, rev int) (string, error) {
	if n.UTC {
		at = at.UTC()
	}
	number := ""
	if strings.Contains(n.Format, revision) {
		number = fmt.Sprintf("-%06d", rev)
	}
	path := strings.NewReplacer(
		"<TOPIC>", safe(topic), "<HOST>", safe(n.Host), "<PID>", strconv.Itoa(n.PID),
		"<DATETIME>", strftime.Format(n.DateTime, at), revision, number,
	).Replace(n.Format)
	if !filepath.IsLocal(path) || strings.HasSuffix(path, "/") {
		return "", fmt.Errorf("%q is no name of a file below the directory", path)
	}
	return filepath.Clean(path), nil
}

// level fits the names that directories have at one depth below the directory.
type level struct{ *regexp.Regexp }

func (l level) fits(name string) bool { return l.MatchString(name) }

// anything is a part of a name; no name has it.
const anything = "\x00"

// directories are the levels that names have: of whatever topic, host, process
// and time.
func (n *Naming) directories() (levels []level, err error) {
	path := filepath.Clean(strings.NewReplacer(
		"<TOPIC>", anything, "<HOST>", anything, "<PID>", anything, "<DATETIME>", anyTime(n.DateTime), revision, anything,
	).Replace(n.Format))
	if dir := filepath.Dir(path); dir != "." {
		for _, name := range strings.Split(filepath.ToSlash(dir), "/") {
			r, err := regexp.Compile("^" + strings.ReplaceAll(regexp.QuoteMeta(name), anything, ".*") + "$")
			if err != nil {
				return nil, err
			}
			levels = append(levels, level{r})
		}
	}
	return levels, nil
}

// conversion is what strftime replaces.
var conversion = regexp.MustCompile(`(?s)%[-:EO]?.`)

// anyTime is a format of times with anything in place of them, but with the
// slashes that they have.
func anyTime(format string) string {
	return conversion.ReplaceAllStringFunc(format, func(c string) string {
		there := strftime.Format(c, time.Unix(0, 0))
		return anything + strings.Repeat("/"+anything, strings.Count(there, "/"))
	})
}

// safe is a text as a part of a path that names nothing else: ".." may be the
// name of a topic.
func safe(text string) string {
	text = strings.NewReplacer("/", "_", `\`, "_", "\x00", "_").Replace(text)
	if strings.Trim(text, ".") == "" {
		return strings.ReplaceAll(text, ".", "%2E")
	}
	return text
}

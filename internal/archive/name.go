package archive

import (
	"errors"
	"fmt"
	"path/filepath"
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

// safe is a text as a part of a path that names nothing else: ".." may be the
// name of a topic.
func safe(text string) string {
	text = strings.NewReplacer("/", "_", `\`, "_", "\x00", "_").Replace(text)
	if strings.Trim(text, ".") == "" {
		return strings.ReplaceAll(text, ".", "%2E")
	}
	return text
}

package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"qmq/internal/filereload"
)

// minSecret is the least number of bytes of a secret worth the name.
const minSecret = 8

// secret is what a file holds, such as a word or a credential. It is read again
// when the file changes and with SIGHUP. Neither it nor a part of it is told to
// anybody; others who may read the file are warned about. The methods may be
// called concurrently; those of a nil *secret are of none.
type secret struct {
	option string
	word   *filereload.Value[string]
}

// openSecret reads the file that an option names; nil if that is empty.
func openSecret(option, file string, parse func(text string) (string, error), log *slog.Logger) (*secret, error) {
	if file == "" {
		return nil, nil
	}
	word, err := filereload.OpenText("secret of --"+option, file, func(text []byte, _ *string) (*string, error) {
		word, err := parse(string(text))
		if err != nil {
			return nil, err
		}
		warnReadable(option, file, log)
		return &word, nil
	}, log)
	if err != nil {
		return nil, fmt.Errorf("failed to read --%s - %w", option, err)
	}
	return &secret{option: option, word: word}, nil
}

// oneWord is a file that holds a word, without the white space around it.
func oneWord(text string) (string, error) {
	word := strings.TrimSpace(text)
	if len(word) < minSecret {
		return "", fmt.Errorf("must hold at least %d characters", minSecret)
	}
	return word, nil
}

// now is the secret as the file has it; empty without a file.
func (s *secret) now() string {
	if s == nil {
		return ""
	}
	return *s.word.Now()
}

// reloads are what SIGHUP has read again.
func (s *secret) reloads() []reload {
	if s == nil {
		return nil
	}
	return []reload{{"secret of --" + s.option, s.word.Reload}}
}

// warnReadable warns of a file with secrets that everybody on this machine may
// read. A group may have been meant.
func warnReadable(option, file string, log *slog.Logger) {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("file with a secret can be read by others", slog.String("option", "--"+option), slog.String("file", file), slog.String("mode", info.Mode().Perm().String()))
	}
}

// warnOpen warns of directories of messages that others may look into. Their mode
// is for whoever made them.
func warnOpen(dataPath string, log *slog.Logger) {
	for _, dir := range []string{"", "topics", "journal", "recycled"} {
		path := filepath.Join(dataPath, dir)
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
			log.Warn("others may look into a directory of messages", slog.String("directory", path), slog.String("mode", info.Mode().String()))
		}
	}
}

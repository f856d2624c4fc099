package daemon

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// shortestSecret is the least number of bytes of a secret worth the name.
const shortestSecret = 8

// readSecret reads the one word that a file holds, without the white space
// around it; no file is no secret. Neither it nor a part of it is told to
// anybody. Others who may read the file are warned about.
func readSecret(option, file string, log *slog.Logger) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("failed to read --%s - %w", option, err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < shortestSecret {
		return "", fmt.Errorf("--%s: %s must hold at least %d characters", option, file, shortestSecret)
	}
	if info, err := os.Stat(file); err == nil && readableByOthers(info.Mode()) {
		log.Warn("file with a secret can be read by others", slog.String("option", "--"+option), slog.String("file", file), slog.String("mode", info.Mode().Perm().String()))
	}
	return secret, nil
}

func readableByOthers(mode fs.FileMode) bool { return mode.Perm()&0o044 != 0 }

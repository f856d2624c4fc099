package main

import (
	"encoding/base64"
	"errors"
	"strings"
)

// authorization is the header of a credential as --http-auth has it.
func authorization(text string) (string, error) {
	kind, what, _ := strings.Cut(text, " ")
	switch {
	case what == "":
	case strings.EqualFold(kind, "bearer"):
		return "Bearer " + what, nil
	case strings.EqualFold(kind, "basic") && strings.Contains(what, ":"):
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(what)), nil
	}
	return "", errors.New("--http-auth must be 'bearer TOKEN' or 'basic USER:PASSWORD'")
}

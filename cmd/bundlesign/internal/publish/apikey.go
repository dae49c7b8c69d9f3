package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// KeyVariable is the environment variable with the API key, as for the official
// CLI.
const KeyVariable = "CAPGO_TOKEN"

// keyFile is where "npx @capgo/cli login" writes the API key, in the home folder
// or, with --local, in the current one.
const keyFile = ".capgo"

// FindAPIKey finds the API key where the official CLI does, in its order: in the
// environment, in the home folder, in the current folder. It says where it was.
func FindAPIKey(getenv func(string) string, readFile func(string) ([]byte, error)) (key, from string, err error) {
	if text := getenv(KeyVariable); strings.TrimSpace(text) != "" {
		key, err = ParseAPIKey(text)
		return key, KeyVariable, wrapFrom(KeyVariable, err)
	}
	places := []string{keyFile}
	if home := getenv("HOME"); home != "" {
		places = []string{filepath.Join(home, keyFile), keyFile}
	}
	for _, name := range places {
		data, err := readFile(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(data)) == "" {
			continue
		}
		if err != nil {
			return "", "", fmt.Errorf("API key: %w", err)
		}
		key, err = ParseAPIKey(string(data))
		return key, name, wrapFrom(name, err)
	}
	return "", "", fmt.Errorf("found no API key: %s is not set, and there is no %s", KeyVariable, strings.Join(places, " and no "))
}

// ParseAPIKey reads the text of an API key, with white space around it. No error
// has any of it.
func ParseAPIKey(text string) (string, error) {
	const most = 1024 // bytes; a key of today has 36
	key := strings.TrimSpace(text)
	switch {
	case key == "":
		return "", errors.New("found nothing, want an API key")
	case len(key) > most:
		return "", fmt.Errorf("found %d bytes, that is no API key", len(key))
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("found white space or another character that no API key has")
	}
	return key, nil
}

func wrapFrom(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("API key of %s: %w", name, err)
}

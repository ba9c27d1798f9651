package cloud

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// File is a configuration file of a vendor's tools, in INI form, and the names in
// it, in lower case.
type File struct {
	Path              string   // from the home directory if it begins with "~/"
	Sections          []string // where credentials may be, the first first
	ID, Secret, Token string
}

// Source gives the credentials in the file; one that is missing has none.
func (f File) Source(context.Context) (Credentials, error) {
	path := f.Path
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return Credentials{}, fmt.Errorf("%w in %s: %w", ErrNone, f.Path, err)
		}
		path = filepath.Join(home, rest)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, fmt.Errorf("%w in %s", ErrNone, f.Path)
	}
	if err != nil {
		return Credentials{}, err
	}
	sections := parseINI(data)
	for _, name := range f.Sections {
		s := sections[name]
		if c := (Credentials{ID: s[f.ID], Secret: s[f.Secret], Token: s[f.Token]}); c.ID != "" && c.Secret != "" {
			return c, nil
		}
	}
	return Credentials{}, fmt.Errorf("%w in %s: it wants %s and %s in [%s]", ErrNone, f.Path, f.ID, f.Secret, f.Sections[0])
}

// parseINI gives values by section and name, both in lower case. Lines that are
// neither are not of interest here.
func parseINI(data []byte) map[string]map[string]string {
	sections := make(map[string]map[string]string)
	section := ""
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.ToLower(strings.TrimSpace(strings.TrimSuffix(name, "]")))
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if sections[section] == nil {
			sections[section] = make(map[string]string)
		}
		sections[section][strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return sections
}

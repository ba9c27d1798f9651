package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Bounds of a file of keys.
const (
	MaxFileBytes = 1 << 20
	MaxKeys      = 4096
	// MinSecretBytes is the shortest secret that is taken.
	MinSecretBytes = 8
	maxAccessBytes = 128
)

// entry is a key in the file.
type entry struct {
	Name      string `json:"name"`
	Access    string `json:"access_key"`
	Secret    string `json:"secret_key"`
	Role      string `json:"role"`
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`
	Anonymous bool   `json:"anonymous"`
}

// Parse reads a file of keys. Its errors name an entry by its number, never by what is
// written in it.
func Parse(r io.Reader) ([]*Key, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(text) > MaxFileBytes {
		return nil, fmt.Errorf("more than %d bytes", MaxFileBytes)
	}
	var file struct {
		Keys []entry `json:"keys"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("line %d: not a file of keys: %w", 1+bytes.Count(text[:offset(err, d, len(text))], []byte("\n")), errShape)
	}
	if len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return nil, fmt.Errorf("text after the keys: %w", errShape)
	}
	if len(file.Keys) > MaxKeys {
		return nil, fmt.Errorf("more than %d keys", MaxKeys)
	}
	keys := make([]*Key, len(file.Keys))
	for i := range file.Keys {
		if keys[i], err = file.Keys[i].key(); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	return keys, nil
}

// errShape stands for the decoder's own errors, which may quote a value.
var errShape = errors.New(`want {"keys": [{"access_key": ..., "secret_key": ..., "role": ...}, ...]}`)

// offset is where decoding stopped.
func offset(err error, d *json.Decoder, size int) int {
	at := d.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
	}
	return int(max(0, min(at, int64(size))))
}

func (e *entry) key() (*Key, error) {
	role, err := ParseRole(e.Role)
	if err != nil {
		return nil, errors.New("role: want read, write or admin")
	}
	o := KeyOptions{Name: e.Name, Access: e.Access, Secret: e.Secret, Role: role, Bucket: e.Bucket, Prefix: e.Prefix}
	if e.Anonymous {
		if e.Access != "" || e.Secret != "" || role != Read {
			return nil, errors.New(`anonymous: want the role "read", and no access_key and secret_key`)
		}
		if o.Name == "" {
			o.Name = AnonymousName
		}
		return NewKey(o), nil
	}
	if err := CheckPair(e.Access, e.Secret); err != nil {
		return nil, err
	}
	return NewKey(o), nil
}

// CheckPair tells what is wrong with an access key and its secret, without quoting them.
func CheckPair(access, secret string) error {
	if access == "" || len(access) > maxAccessBytes {
		return fmt.Errorf("access_key: want 1 to %d characters", maxAccessBytes)
	}
	for _, c := range []byte(access) {
		// It stands in a header between slashes, equal signs and commas.
		if c <= ' ' || c > '~' || c == '/' || c == ',' || c == '=' {
			return errors.New("access_key: want letters, digits and signs other than space, slash, comma and equals")
		}
	}
	if len(secret) < MinSecretBytes {
		return fmt.Errorf("secret_key: want at least %d characters", MinSecretBytes)
	}
	return nil
}

// stamp tells one state of a file from another.
type stamp struct {
	modTime, size int64
	info          os.FileInfo
}

// stampOf looks at what name is now, behind links too: mounted secrets are changed by
// changing a link.
func stampOf(name string) (stamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime().UnixNano(), info.Size(), info}, nil
}

func (s stamp) same(o stamp) bool {
	return s.info != nil && o.info != nil && s.modTime == o.modTime && s.size == o.size && os.SameFile(s.info, o.info)
}

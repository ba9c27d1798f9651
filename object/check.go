package object

import (
	"strings"
	"unicode/utf8"
)

// CheckKey tells whether key may name an object: 1 to MaxKeyBytes bytes of
// UTF-8, of characters that XML can carry unchanged, since that is what S3 lists
// keys in: none below U+0020, no U+FFFE or U+FFFF. A store may refuse more (HTTP
// drops ".." components, a directory cannot hold both "a" and "a/b"); that is
// ErrInvalid too.
func CheckKey(key string) error {
	switch {
	case key == "":
		return Invalidf("empty key")
	case len(key) > MaxKeyBytes:
		return Invalidf("key of %d bytes, the most is %d", len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return Invalidf("key is not UTF-8")
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0xFFFE || r == 0xFFFF }):
		return Invalidf("key has a control character")
	}
	return nil
}

// CheckRange tells whether Get may be asked for n bytes from off.
func CheckRange(off, n int64) error {
	if off < 0 {
		return Invalidf("negative offset %d", off)
	}
	if n > 0 && off+n < 0 {
		return Invalidf("range ends past 2^63")
	}
	return nil
}

// CheckList tells whether limit is between 1 and MaxListed. A larger one is
// refused rather than cut: the caller would take the short answer for the end.
func CheckList(limit int) error {
	if limit < 1 || limit > MaxListed {
		return Invalidf("list limit %d is not between 1 and %d", limit, MaxListed)
	}
	return nil
}

// Listed tells whether key belongs into the answer of List(prefix, after).
func Listed(key, prefix, after string) bool {
	return key > after && strings.HasPrefix(key, prefix)
}

package cloud

import (
	"errors"
	"net/url"
	"strings"

	"mirrorfs/object"
)

// Page asks for at most limit objects that follow the token; the first token is
// empty. It gives the token of the next page, or none after the last.
type Page func(token string, limit int) (found []object.Info, next string, err error)

// List collects pages until there are limit objects. A page may be shorter than
// asked for and not be the last.
func List(limit int, page Page) ([]object.Info, error) {
	if err := object.CheckList(limit); err != nil {
		return nil, err
	}
	var all []object.Info
	for token := ""; len(all) < limit; {
		found, next, err := page(token, limit-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		if next == "" {
			break
		}
		if next == token {
			return nil, errors.New("the listing does not go on")
		}
		token = next
	}
	return all, nil
}

// ErrNoToken is a page that is not the last and does not say how to go on.
var ErrNoToken = errors.New("a cut listing without a continuation token")

// Unescape decodes a key of a listing with encoding-type=url.
func Unescape(key, encoding string) (string, error) {
	if encoding != "url" {
		return key, nil
	}
	return url.QueryUnescape(key)
}

// ETag is without the quotes that HTTP puts around it.
func ETag(header string) string { return strings.Trim(header, `"`) }

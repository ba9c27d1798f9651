package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Role is the role of the machine that this runs on: its cloud hands out
// temporary credentials at an address that only the machine can reach.
type Role struct {
	// URL of the list of roles, with a slash at its end; a role's credentials are
	// behind its name.
	URL string
	// Header adds to a request what the server wants to see; nil means nothing.
	Header func(ctx context.Context, client *http.Client) http.Header
	// Decode reads the document with the credentials.
	Decode func(document []byte) (Credentials, error)
}

const (
	metadataTimeout = 2 * time.Second // it is on this machine's host, or it is not there
	metadataBytes   = 64 << 10
)

var errSilent = errors.New("the metadata server does not answer")

// Source asks the metadata server.
func (r Role) Source(ctx context.Context) (Credentials, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, metadataTimeout, errSilent)
	defer cancel()
	// No proxy, and no connection kept: it is asked a few times a day.
	t := &http.Transport{DisableKeepAlives: true}
	client := Client(t)
	var header http.Header
	if r.Header != nil {
		header = r.Header(ctx, client)
	}
	names, err := Fetch(ctx, client, http.MethodGet, r.URL, header)
	if err != nil {
		return Credentials{}, err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(names)), "\n")
	if name == "" {
		return Credentials{}, fmt.Errorf("%w at %s: this machine has no role", ErrNone, r.URL)
	}
	document, err := Fetch(ctx, client, http.MethodGet, r.URL+strings.TrimSpace(name), header)
	if err != nil {
		return Credentials{}, err
	}
	c, err := r.Decode(document)
	if err != nil {
		return c, fmt.Errorf("credentials of the role %s: %w", name, err)
	}
	if c.ID == "" || c.Secret == "" || c.Token == "" || c.Expires.IsZero() {
		return c, fmt.Errorf("credentials of the role %s: the document lacks some of id, secret, token and expiry", name)
	}
	return c, nil
}

// Fetch gives the body of an answer with status 200.
func Fetch(ctx context.Context, client *http.Client, method, url string, header http.Header) (data []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, metadataBytes))
}

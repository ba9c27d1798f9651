package cloudtest

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Metadata is a fake of the server that gives a machine the credentials of its
// role.
type Metadata struct {
	URL string

	mu       sync.Mutex
	document string
	requests int
}

const role = "storage-role"

// StartMetadata serves the role's document below path until the test ends. A guard,
// if there is one, refuses requests by returning false.
func StartMetadata(t testing.TB, path string, guard func(w http.ResponseWriter, r *http.Request) bool) *Metadata {
	t.Helper()
	m := new(Metadata)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if guard != nil && !guard(w, r) {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		switch {
		case m.document == "":
			http.NotFound(w, r)
		case r.URL.Path == path:
			_, _ = w.Write([]byte(role))
		case r.URL.Path == path+role:
			m.requests++
			_, _ = w.Write([]byte(m.document))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	m.URL = server.URL
	return m
}

// Set gives the machine a role with credentials; an empty document takes the role
// away.
func (m *Metadata) Set(document string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.document = document
}

// Requests is how often credentials were asked for.
func (m *Metadata) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

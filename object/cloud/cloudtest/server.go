package cloudtest

import (
	"crypto/rand"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/mem"
)

// Fault is an answer that refuses a request.
type Fault struct {
	Status  int
	Code    string
	Message string
}

// Account may do everything.
type Account struct {
	ID, Secret string
	Token      string    // that requests must carry; empty: none
	Expires    time.Time // zero: never
}

// Dialect is how a vendor speaks.
type Dialect struct {
	// Prefix of the vendor's headers, such as "X-Oss-".
	Prefix string
	// Locate gives what a request is for; no key means the bucket.
	Locate func(r *http.Request) (bucket, key string)
	// Signer gives the id of the account that signed.
	Signer func(r *http.Request) (id string, fault *Fault)
	// Verify compares the signature with the one that secret gives.
	Verify func(r *http.Request, secret string, now time.Time) *Fault
	// CheckKey tells whether an object may have the key.
	CheckKey func(key string) *Fault
	// Whole tells whether a range that the object does not have is answered by the
	// whole object.
	Whole func(r *http.Request) bool
	// FaultHeader puts what a HEAD's missing body would say into a header; nil: lost.
	FaultHeader func(h http.Header, body []byte)
	// After is where a listing begins, and Listing its document.
	After   func(q url.Values) string
	Listing func(q url.Values, page Page) any
	// MaxKeys is the number of keys in a listing that asks for none.
	MaxKeys int
	// What is refused by.
	UnknownID, BadToken, ExpiredToken Fault
	// Owned refuses to make a bucket again; nil allows it.
	Owned *Fault
}

// Page is a part of a listing.
type Page struct {
	Bucket    string
	Objects   []object.Info
	Truncated bool
}

// Server is a running store.
type Server struct {
	URL     string  // http://127.0.0.1:port
	Account Account // the first of those that may use it

	dialect Dialect

	mu       sync.Mutex
	accounts map[string]Account
	buckets  map[string]*mem.Store
	faults   []Fault
	corrupt  int // uploads to store wrong
	skew     time.Duration
	requests int
}

// Start runs a server until the test ends.
func Start(t testing.TB, d Dialect) *Server {
	t.Helper()
	s := &Server{
		Account: Account{ID: rand.Text(), Secret: rand.Text()}, dialect: d,
		accounts: make(map[string]Account), buckets: make(map[string]*mem.Store),
	}
	s.Allow(s.Account)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Host is where it listens, as host:port.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Allow adds an account.
func (s *Server) Allow(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[a.ID] = a
}

// Fail answers the next requests by faults, one each.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Corrupt stores the next n uploads with a wrong byte.
func (s *Server) Corrupt(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corrupt = n
}

// Skew sets the server's clock so much ahead.
func (s *Server) Skew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// Requests is how many there were.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := s.admit(r)
	if fault == nil {
		fault = s.serve(w, r)
	}
	if fault != nil {
		s.refuse(w, r, *fault)
	}
}

// admit tells whether a request may be served.
func (s *Server) admit(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if len(s.faults) > 0 {
		fault := s.faults[0]
		s.faults = s.faults[1:]
		return &fault
	}
	id, fault := s.dialect.Signer(r)
	if fault != nil {
		return fault
	}
	now := time.Now().Add(s.skew)
	account, known := s.accounts[id]
	switch {
	case !known:
		return &s.dialect.UnknownID
	case r.Header.Get(s.dialect.Prefix+"Security-Token") != account.Token:
		return &s.dialect.BadToken
	case !account.Expires.IsZero() && now.After(account.Expires):
		return &s.dialect.ExpiredToken
	}
	return s.dialect.Verify(r, account.Secret, now)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f Fault) {
	body, err := xml.Marshal(struct {
		XMLName                            xml.Name `xml:"Error"`
		Code, Message, Resource, RequestID string
	}{Code: f.Code, Message: f.Message, Resource: r.URL.Path, RequestID: "1"})
	if err != nil {
		panic(err)
	}
	body = append([]byte(xml.Header), body...)
	w.Header().Set("Content-Type", "application/xml")
	if r.Method == http.MethodHead {
		if s.dialect.FaultHeader != nil {
			s.dialect.FaultHeader(w.Header(), body)
		}
		body = nil
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write(body)
}

package cloudtest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/objecttest"
)

// Subject is a store on a fake.
type Subject struct {
	Server *Server
	// Use makes an account that of the process; a zero one is none.
	Use func(t testing.TB, a Account)
	// Open opens a bucket; the store is a Creator.
	Open func(t testing.TB, p Place) object.Store
	// Answers beyond the common ones.
	Answers []objecttest.Answer
	// RolePath is where the machine's role is found, and Document what is there for
	// an account.
	RolePath string
	Document func(a Account) string
}

// Place is what a store is opened with.
type Place struct {
	Name     string // of the bucket, in lowercase letters and digits
	Endpoint string
	Metadata string // server of the machine's role; empty: the vendor's
}

// Run tests a store on a fake: the whole suite of stores, and what a cloud does
// beyond it.
func Run(t *testing.T, s Subject) {
	t.Helper()
	s.Use(t, s.Server.Account)
	t.Run("Bare", func(t *testing.T) { objecttest.Run(t, s.fresh("bare")) })
	t.Run("Wrapped", func(t *testing.T) { objecttest.RunWrapped(t, s.fresh("wrapped")) })
	t.Run("Faulty", func(t *testing.T) { objecttest.RunFaulty(t, s.fresh("faulty"), objecttest.Faulty{}) })
	t.Run("Cut", func(t *testing.T) { objecttest.RunCut(t, s.Server.Host(), s.at("cut")) })
	t.Run("Answers", func(t *testing.T) {
		objecttest.RunAnswers(t, append(objecttest.Common(), s.Answers...), s.at("answers"))
	})
	t.Run("MissingBucket", func(t *testing.T) {
		objecttest.RunMissingBucket(t, s.Open(t, Place{Name: "none", Endpoint: s.Server.URL}))
	})
	t.Run("Probe", func(t *testing.T) {
		if err := object.Probe(t.Context(), s.bucket(t, "probe")); err != nil {
			t.Error(err)
		}
	})
	t.Run("Denied", s.testDenied)
	t.Run("Throttled", s.testThrottled)
	t.Run("CorruptUpload", s.testCorruptUpload)
	t.Run("Role", s.testRole)
}

// fresh opens a new bucket at each call.
func (s Subject) fresh(name string) func(t *testing.T) object.Store {
	var count atomic.Int64
	return func(t *testing.T) object.Store { return s.bucket(t, fmt.Sprintf("%s%d", name, count.Add(1))) }
}

// at opens one bucket at any address.
func (s Subject) at(name string) objecttest.Opener {
	return func(t *testing.T, address string) object.Store {
		return s.Open(t, Place{Name: name, Endpoint: "http://" + address})
	}
}

// bucket opens a bucket and makes it.
func (s Subject) bucket(t testing.TB, name string) object.Store {
	t.Helper()
	store := s.Open(t, Place{Name: name, Endpoint: s.Server.URL})
	c, ok := object.As[object.Creator](store)
	if !ok {
		t.Fatal("no Creator")
	}
	if err := c.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func (s Subject) testDenied(t *testing.T) {
	s.bucket(t, "denied")
	machine := StartMetadata(t, s.RolePath, nil) // of a machine without a role
	place := Place{Name: "denied", Endpoint: s.Server.URL, Metadata: machine.URL}
	good := s.Server.Account
	for why, a := range map[string]Account{
		"a wrong secret":         {ID: good.ID, Secret: "wrong"},
		"an unknown key":         {ID: "unknown", Secret: "wrong"},
		"a token of another":     {ID: good.ID, Secret: good.Secret, Token: "token"},
		"no credentials":         {},
		"half of them":           {ID: good.ID},
		"the other half of them": {Secret: good.Secret},
	} {
		s.Use(t, a)
		objecttest.RunDenied(t, why, s.Open(t, place))
	}
	s.Use(t, good)
	for why, skew := range map[string]time.Duration{"a clock that is late": 20 * time.Minute, "a clock that is early": -20 * time.Minute} {
		s.Server.Skew(skew)
		objecttest.RunDenied(t, why, s.Open(t, place))
	}
	s.Server.Skew(0)
}

// testThrottled: a store that is told to slow down comes again, and each attempt is
// one request.
func (s Subject) testThrottled(t *testing.T) {
	slowDown := Fault{Status: 503, Code: "SlowDown", Message: "Reduce your request rate."}
	store := s.bucket(t, "throttled")
	s.Server.Fail(slowDown)
	before := s.Server.Requests()
	if err := store.Put(t.Context(), "key", []byte("data")); !errors.Is(err, object.ErrThrottled) {
		t.Errorf("Put: %v", err)
	}
	if n := s.Server.Requests() - before; n != 1 {
		t.Errorf("%d requests for one attempt", n)
	}
	s.Server.Fail(slowDown, slowDown)
	if err := retrying(store).Put(t.Context(), "key", []byte("data")); err != nil {
		t.Errorf("Put with repetitions: %v", err)
	}
}

func retrying(s object.Store) object.Store {
	return object.WithRetry(s, object.RetryOptions{FirstPause: time.Microsecond})
}

// testCorruptUpload: bytes that change on their way are noticed, and sent again.
func (s Subject) testCorruptUpload(t *testing.T) {
	store := s.bucket(t, "corrupt")
	s.Server.Corrupt(1)
	if err := store.Put(t.Context(), "key", []byte("data")); err == nil {
		t.Error("other bytes were stored, and no error")
	}
	s.Server.Corrupt(2)
	if err := retrying(store).Put(t.Context(), "key", []byte("data")); err != nil {
		t.Error(err)
	}
	if info, err := store.Head(t.Context(), "key"); err != nil || info.Size != 4 {
		t.Errorf("%+v, %v", info, err)
	}
}

// testRole: the machine's role gives temporary credentials, which are asked for
// once, and again when they are about to expire.
func (s Subject) testRole(t *testing.T) {
	s.bucket(t, "role")
	s.Use(t, Account{})
	machine := StartMetadata(t, s.RolePath, nil)
	place := Place{Name: "role", Endpoint: s.Server.URL, Metadata: machine.URL}
	objecttest.RunDenied(t, "a machine without a role", s.Open(t, place))
	machine.Set("no JSON")
	objecttest.RunDenied(t, "a machine with a broken role", s.Open(t, place))

	for name, test := range map[string]struct {
		lasts time.Duration
		asked int
	}{"long": {time.Hour, 1}, "expired": {-time.Minute, 3}} {
		a := Account{ID: "role-" + name, Secret: "secret", Token: "token of " + name, Expires: time.Now().Add(test.lasts)}
		served := a
		served.Expires = time.Time{} // the server lets them in; it is their holder who must not trust them
		s.Server.Allow(served)
		machine.Set(s.Document(a))
		store, before := s.Open(t, place), machine.Requests()
		for range 3 {
			if err := store.Put(t.Context(), "key", []byte("data")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := machine.Requests() - before; n != test.asked {
			t.Errorf("%s: asked for credentials %d times, want %d", name, n, test.asked)
		}
	}
}

package cloud_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// role is a source of credentials that last an hour; the ID says which they are.
type role struct {
	mu    sync.Mutex
	asked int
	err   error
	wait  chan struct{} // asked, it waits for this; nil does not
}

func (r *role) source(context.Context) (cloud.Credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.wait != nil {
		<-r.wait
	}
	if r.err != nil {
		return cloud.Credentials{}, r.err
	}
	return cloud.Credentials{ID: string(rune('0' + r.asked)), Expires: time.Now().Add(time.Hour)}, nil
}

func (r *role) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func want(t *testing.T, p *cloud.Provider, id string) {
	t.Helper()
	c, err := p.Get(t.Context())
	if err != nil || c.ID != id || !time.Now().Before(c.Expires) {
		t.Errorf("credentials %q until %v, %v; want %q", c.ID, c.Expires, err, id)
	}
}

// TestRenewal: new credentials are there before the old ones expire; those that
// are valid are used on while the source fails; and when none are left, the error
// is one that may pass.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(role)
		p := cloud.NewProvider(r.source)
		want(t, p, "1")
		time.Sleep(49 * time.Minute)
		want(t, p, "1")
		time.Sleep(2 * time.Minute)
		want(t, p, "2")
		time.Sleep(51 * time.Minute)
		down := errors.New("metadata server is away")
		r.fail(down)
		for range 10 {
			want(t, p, "2")
		}
		if r.asked != 3 {
			t.Errorf("asked a source that is away %d times at once", r.asked-2)
		}
		time.Sleep(10 * time.Minute)
		if _, err := p.Get(t.Context()); !errors.Is(err, down) || errors.Is(err, object.ErrDenied) {
			t.Errorf("expired: %v", err)
		}
		r.fail(nil)
		want(t, p, "5")
	})
}

// TestRenewalDelaysNobody: while one request asks for new credentials, others go on
// with those that are still valid; without any, they wait as long as they may.
func TestRenewalDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(role)
		p := cloud.NewProvider(r.source)
		want(t, p, "1")
		time.Sleep(55 * time.Minute)
		r.wait = make(chan struct{})
		go func() { _, _ = p.Get(t.Context()) }()
		synctest.Wait()
		want(t, p, "1")
		time.Sleep(10 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(r.wait)
		want(t, p, "2")
	})
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("TEST_ID", "")
	t.Setenv("TEST_SECRET", "")
	path := filepath.Join(t.TempDir(), "config")
	file := cloud.File{Path: path, Sections: []string{"default"}, ID: "id", Secret: "secret"}
	p := cloud.NewProvider(cloud.Chain(cloud.Environment(cloud.Variables{ID: "TEST_ID", Secret: "TEST_SECRET"}), file.Source))
	_, err := p.Get(t.Context())
	if !errors.Is(err, object.ErrDenied) || !strings.Contains(err.Error(), "TEST_ID") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v; want ErrDenied, and where it looked", err)
	}
	if err := os.WriteFile(path, []byte("[default]\nid = a\n; secret = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(t.Context()); !errors.Is(err, object.ErrDenied) {
		t.Errorf("with half of them: %v", err)
	}
	if err := os.WriteFile(path, []byte("[default]\nid = a\nsecret = b=c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := p.Get(t.Context()); err != nil || c.ID != "a" || c.Secret != "b=c" {
		t.Errorf("%+v, %v", c, err)
	}
}

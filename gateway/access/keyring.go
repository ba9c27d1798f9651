package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// AnonymousName is what requests without a signature are called, unless the file has a name
// for them.
const AnonymousName = "anonymous"

// Options say where the keys of a Keyring are.
type Options struct {
	// File, if not empty, is a file of keys, looked at every Interval; default 2 s.
	File     string
	Interval time.Duration
	// Keys are there whatever the file says, for example from the environment.
	Keys []*Key
	// AnonymousRead lets everybody read everything without a signature.
	AnonymousRead bool
	Logger        *slog.Logger
}

// Keyring holds the keys in use.
type Keyring struct {
	opts    Options
	current atomic.Pointer[keys]
	seen    stamp // of the file; used by Run alone after New
}

// keys are the keys at one time.
type keys struct {
	byAccess  map[string]*Key
	anonymous []*Key
}

// ErrNone says that nobody could use the gateway.
var ErrNone = errors.New("there is no key, and nobody may read without one")

// New reads the file, if there is one. ErrNone if there are no keys and nobody may read
// without one.
func New(o Options) (*Keyring, error) {
	if o.Interval <= 0 {
		o.Interval = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Keyring{opts: o}
	if err := r.load(); err != nil {
		return nil, err
	}
	if now := r.current.Load(); len(now.byAccess) == 0 && len(now.anonymous) == 0 && o.File == "" {
		return nil, ErrNone
	}
	return r, nil
}

// Find gives the key of a request by the access key that it was signed with. That the
// signature is right is for the caller to check.
func (r *Keyring) Find(access string) (*Key, bool) {
	k, ok := r.current.Load().byAccess[access]
	return k, ok
}

// Secret gives the secret of an access key, for those who check signatures.
func (r *Keyring) Secret(access string) (string, bool) {
	k, ok := r.Find(access)
	if !ok {
		return "", false
	}
	return k.secret, true
}

// Anonymous gives the keys of a request without a signature: what one of them allows is
// allowed.
func (r *Keyring) Anonymous() []*Key { return r.current.Load().anonymous }

// Run reads the file again whenever it has changed, until ctx ends. A file that cannot be
// read or is wrong changes nothing: the keys that were read last stay in use.
func (r *Keyring) Run(ctx context.Context) error {
	if r.opts.File == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(r.opts.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		r.look(ctx)
	}
}

// look reads the file again if it has changed.
func (r *Keyring) look(ctx context.Context) {
	now, err := stampOf(r.opts.File)
	if err == nil && now.same(r.seen) {
		return
	}
	if err == nil {
		err = r.load()
	} else if r.seen.info == nil {
		return // told already
	}
	if err != nil {
		r.seen = now // of a missing file: none
		r.opts.Logger.ErrorContext(ctx, "keys not read again: those read before stay in use", slog.Any("error", err))
		return
	}
	r.opts.Logger.InfoContext(ctx, "keys read again", slog.Int("keys", len(r.current.Load().byAccess)))
}

// load reads the file and puts its keys in use.
func (r *Keyring) load() error {
	all := r.opts.Keys
	if r.opts.File != "" {
		// Looked at first: a change while it is read is then found the next time.
		seen, err := stampOf(r.opts.File)
		if err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		read, err := readFile(r.opts.File)
		if err != nil {
			return err
		}
		r.seen = seen
		all = append(append([]*Key{}, all...), read...)
	}
	next := &keys{byAccess: make(map[string]*Key, len(all))}
	if r.opts.AnonymousRead {
		next.anonymous = append(next.anonymous, NewKey(KeyOptions{Name: AnonymousName, Role: Read}))
	}
	for i, k := range all {
		if k.access == "" {
			next.anonymous = append(next.anonymous, k)
			continue
		}
		if next.byAccess[k.access] != nil {
			return fmt.Errorf("keys: key %d has an access key that another one has", i+1-len(r.opts.Keys))
		}
		next.byAccess[k.access] = k
	}
	r.current.Store(next)
	return nil
}

func readFile(name string) ([]*Key, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer func() { _ = f.Close() }()
	read, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w", name, err)
	}
	return read, nil
}

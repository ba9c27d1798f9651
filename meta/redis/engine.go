package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// Engine is a volume in Redis. It implements meta.Engine, meta.Purger, meta.Source,
// meta.Replica and meta.Claims; a mirror's metadata answers the questions too, but takes no changes.
type Engine struct {
	reader
	*server
	slots *slots
	locks *locks

	mu      sync.Mutex // guards session
	session meta.SessionID
}

var _ interface {
	meta.Engine
	meta.Purger
	meta.Source
	meta.Replica
	meta.Claims
} = (*Engine)(nil)

// volumesKey is the set of the names of all volumes of a server.
const volumesKey = "mirrorfs:volumes"

// Open connects to the volume that an address names, or to the only one there.
// meta.ErrNoVolume when there is none.
func Open(ctx context.Context, address string, opts Options) (*Engine, error) {
	s, err := connect(ctx, address, opts)
	if err != nil {
		return nil, err
	}
	if err := s.findVolume(ctx); err != nil {
		return nil, errors.Join(err, s.client().Close())
	}
	e := s.engine()
	if _, err := e.State(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// OpenReplica connects to where a mirror's metadata is or will be: nothing needs to
// exist yet. Until Replica.Reset, only Local, SetLocal and State make sense, and State
// is meta.ErrNoVolume.
func OpenReplica(ctx context.Context, address, volume string, opts Options) (*Engine, error) {
	if err := checkVolumeName(volume); err != nil {
		return nil, err
	}
	s, err := connect(ctx, address, opts)
	if err != nil {
		return nil, err
	}
	if s.addr().Volume != "" && s.addr().Volume != volume {
		err := fmt.Errorf("metadata address %s names another volume than %q", s.addr(), volume)
		return nil, errors.Join(err, s.client().Close())
	}
	s.setVolume(volume)
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.client().Close())
	}
	return s.engine(), nil
}

// Format makes a volume and returns an engine on it, without a session.
// meta.ErrVolumeExists when there is one of that name.
func Format(ctx context.Context, address string, v meta.Volume, opts Options) (*Engine, error) {
	e, err := OpenReplica(ctx, address, v.Name, opts)
	if err != nil {
		return nil, err
	}
	if err := e.format(ctx, v); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) format(ctx context.Context, v meta.Volume) error {
	about := meta.Error{Op: meta.OpFormat.String(), Name: v.Name}
	settings, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	now := e.opts.now()
	ns := now.UnixNano()
	root := meta.Attr{Mode: meta.TypeDir | 0o755, Nlink: 2, Atime: ns, Mtime: ns, Ctime: ns, Parent: meta.RootIno}
	head := newHead(meta.OpFormat, now, 0, &slot{})
	if _, err := e.invoke(ctx, &call{function: "format", head: head, args: []any{settings, meta.AppendInode(nil, &root)}}); err != nil {
		err = e.fail(ctx, about, err)
		if errors.Is(err, syscall.EEXIST) {
			about.Errno, about.Err = syscall.EEXIST, meta.ErrVolumeExists
			err = &about
		}
		return err
	}
	return e.register(ctx)
}

// register enters the volume in the server's list.
func (s *server) register(ctx context.Context) error {
	err := s.ask(ctx, "sadd", func(ctx context.Context) error { return s.client().SAdd(ctx, volumesKey, s.volume).Err() })
	if err != nil {
		return s.fail(ctx, meta.Error{Op: "register", Name: s.volume}, err)
	}
	return nil
}

func connect(ctx context.Context, address string, opts Options) (*server, error) {
	a, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	return connectTo(ctx, a, opts)
}

// Twin opens another engine, with a session of its own, on the volume of this one.
func (e *Engine) Twin(ctx context.Context, opts Options) (*Engine, error) {
	s, err := connectTo(ctx, e.addr(), opts)
	if err != nil {
		return nil, err
	}
	s.setVolume(e.volume)
	return s.engine(), nil
}

func connectTo(ctx context.Context, a Address, opts Options) (*server, error) {
	opts.setDefaults()
	meters, err := newMeters(opts.Metrics, opts.Name)
	if err != nil {
		return nil, fmt.Errorf("metrics of metadata calls: %w", err)
	}
	client, err := dial(ctx, a, &opts, &meters)
	if err != nil {
		return nil, err
	}
	s := &server{opts: opts, meters: meters}
	s.at.Store(&peer{client: client, addr: a})
	// Later calls are repeated for a while; a server that is not there at all is told at once.
	var refused goredis.Error
	err = client.Ping(ctx).Err()
	if answered := errors.As(err, &refused); answered && !isPassing(err) || !answered && err != nil && !mayBeSent(err) {
		return nil, errors.Join(s.fail(ctx, meta.Error{Op: "open"}, err), client.Close())
	}
	return s, nil
}

func (s *server) engine() *Engine {
	return &Engine{reader: reader{s: s}, server: s, slots: newSlots(s.opts.Slots), locks: newLocks(s)}
}

func (s *server) setVolume(name string) {
	s.volume = name
	s.key = s.prefix() + "v"
}

// prefix begins every key of the volume. The braces make a cluster keep them together.
func (s *server) prefix() string { return "{" + s.volume + "}:" }

// findVolume sets the volume's name from the address or, if it has none, from the
// server's list.
func (s *server) findVolume(ctx context.Context) error {
	if s.addr().Volume != "" {
		s.setVolume(s.addr().Volume)
		return nil
	}
	about := meta.Error{Op: "open"}
	var names []string
	err := s.ask(ctx, "smembers", func(ctx context.Context) (err error) {
		names, err = s.client().SMembers(ctx, volumesKey).Result()
		return err
	})
	switch {
	case err != nil:
		return s.fail(ctx, about, err)
	case len(names) == 0:
		about.Errno, about.Err = syscall.ENOENT, fmt.Errorf("%w: %s", meta.ErrNoVolume, s.addr())
		return &about
	case len(names) > 1:
		about.Errno = syscall.EINVAL
		about.Err = fmt.Errorf("%s has several volumes (%q): add ?volume=NAME to the address", s.addr(), names)
		return &about
	}
	s.setVolume(names[0])
	return nil
}

// prepare loads the functions.
func (s *server) prepare(ctx context.Context) error {
	err := s.ask(ctx, "load", func(ctx context.Context) error { return s.loadLibrary(ctx, s.key) })
	if err != nil {
		return s.fail(ctx, meta.Error{Op: "open", Name: s.volume}, err)
	}
	return nil
}

// checkVolumeName refuses names that would make keys that are hard to read, or another
// hash tag.
func checkVolumeName(name string) error {
	if name == "" || len(name) > 63 {
		return fmt.Errorf("volume name %q: want 1 to 63 characters", name)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return fmt.Errorf("volume name %q: want letters, digits, - _ and . only", name)
		}
	}
	return nil
}

// Volume implements meta.Engine and meta.Source.
func (e *Engine) Volume(ctx context.Context) (meta.Volume, error) {
	about := meta.Error{Op: "volume", Name: e.volume}
	var v meta.Volume
	text, err := e.hget(ctx, e.prefix()+"cfg", "volume")
	if errors.Is(err, goredis.Nil) {
		about.Errno, about.Err = syscall.ENOENT, meta.ErrNoVolume
		return v, &about
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		return v, e.fail(ctx, about, err)
	}
	return v, nil
}

// State implements meta.Engine, meta.Source and meta.Replica.
func (e *Engine) State(ctx context.Context) (meta.State, error) {
	about := meta.Error{Op: "state", Name: e.volume}
	b, err := e.hget(ctx, e.key, "state")
	if errors.Is(err, goredis.Nil) {
		about.Errno, about.Err = syscall.ENOENT, fmt.Errorf("%w: %s, volume %q", meta.ErrNoVolume, e.addr(), e.volume)
		return meta.State{}, &about
	}
	if err != nil {
		return meta.State{}, e.fail(ctx, about, err)
	}
	return decodeState(b)
}

// hget returns a field, goredis.Nil when there is none.
func (s *server) hget(ctx context.Context, key, field string) (value []byte, err error) {
	err = s.ask(ctx, "hget", func(ctx context.Context) error {
		value, err = s.client().HGet(ctx, key, field).Bytes()
		return err
	})
	return value, err
}

// Close implements meta.Engine.
func (e *Engine) Close() error {
	e.locks.close()
	return e.client().Close()
}

// Address returns where the volume is, without the password.
func (e *Engine) Address() string { return e.addr().String() }

// VolumeName is the name of the volume, which is known before there are any settings of it.
func (e *Engine) VolumeName() string { return e.volume }

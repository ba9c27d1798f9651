package fuse

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mirrorfs/vfs"
)

// Options says what to mount, where, and what the kernel may keep. FS, Dir and
// Volume are required; the zero value of everything else works.
type Options struct {
	FS     *vfs.FS
	Dir    string // the mount point: an empty directory
	Volume string // its name, for people to see in the list of mounts
	// Source is what MountOf tells of the mount: where the volume's metadata are, say,
	// without a password.
	Source string
	// ReadOnly mounts with the ro flag; the FS should be read-only too.
	ReadOnly bool
	// NonEmpty allows a mount point that holds files.
	NonEmpty bool
	// OnlyOwner gives access to nobody but the user who mounts. Otherwise others
	// have access too, as far as the system allows it (root always may, other
	// users with user_allow_other in /etc/fuse.conf).
	OnlyOwner bool

	// LocalLocks leaves fcntl(2) and flock(2) locks to the kernel: they cost no round
	// trip, and other clients know nothing of them.
	LocalLocks bool

	// AttrTimeout and EntryTimeout are for how long the kernel may use attributes
	// and names without asking. Zero is 1 s, negative is not at all.
	AttrTimeout  time.Duration
	EntryTimeout time.Duration
	// NegativeTimeout is for how long the kernel may believe that a name does not
	// exist; zero is not at all: other clients make files that programs wait for.
	NegativeTimeout time.Duration

	// ReadAheadBytes is how far the kernel reads ahead of a sequential reader;
	// default 1 MiB. More than 128 KiB needs root.
	ReadAheadBytes int
	// MaxBackground bounds the requests that the kernel makes ahead or behind of
	// programs at once; default 64.
	MaxBackground int
	// MetaTimeout bounds questions for metadata, and should be that of the FS;
	// default 30 s.
	MetaTimeout time.Duration
	// Grace is how long Run waits, when told to end, for programs to leave the
	// mount; then it is detached under them. Default 3 s.
	Grace time.Duration

	// Debug logs every request of the kernel, at level debug.
	Debug   bool
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Validate reports what is missing or cannot be.
func (o *Options) Validate() error {
	switch {
	case o.FS == nil:
		return errors.New("fuse: no file system given")
	case o.Dir == "":
		return errors.New("fuse: no mount point given")
	case o.Volume == "" || strings.ContainsAny(o.Volume, ",\n\\"):
		return fmt.Errorf("fuse: volume name %q: want a name without comma, newline and backslash", o.Volume)
	}
	return nil
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.AttrTimeout = timeoutOr(o.AttrTimeout, time.Second)
	o.EntryTimeout = timeoutOr(o.EntryTimeout, time.Second)
	o.NegativeTimeout = timeoutOr(o.NegativeTimeout, 0)
	if o.ReadAheadBytes <= 0 {
		o.ReadAheadBytes = 1 << 20
	}
	if o.MaxBackground <= 0 {
		o.MaxBackground = 64
	}
	if o.MetaTimeout <= 0 {
		o.MetaTimeout = 30 * time.Second
	}
	if o.Grace <= 0 {
		o.Grace = 3 * time.Second
	}
	return o
}

func timeoutOr(t, zero time.Duration) time.Duration {
	switch {
	case t < 0:
		return 0
	case t == 0:
		return zero
	default:
		return t
	}
}

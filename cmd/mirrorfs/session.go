package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mirrorfs/meta"
	"mirrorfs/meta/redis"
)

func newSessionCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "session",
		Short: "See the clients of a volume, what they hold, and end one",
		Long: `session shows the clients of the volume at META, its source: mounts at all sites, and
commands. Each has a session, which keeps its open files and its locks, and which
ends by itself a minute after the client's last sign of life.`,
		Example: "  mirrorfs session ls redis://10.0.0.5/0\n  mirrorfs session show redis://10.0.0.5/0 1f0c5a7be2d49a37",
	}
	cmd.AddCommand(newSessionListCommand(c), newSessionShowCommand(c), newSessionEndCommand(c))
	return group(cmd)
}

func newSessionListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ls META",
		Short: "List the sessions of a volume",
		Long: `ls lists the sessions of the volume at META, its source: who each is, for how long it
lives without a further sign of life, and how many open files and locks it has.`,
		Example: "  mirrorfs session ls redis://10.0.0.5/0\n  mirrorfs session ls redis://10.0.0.5/0 --json",
		Args:    exactArgs("META"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.atSource(cmd.Context(), args[0], func(ctx context.Context, e *redis.Engine) error { return c.sessionList(ctx, e) })
		},
	}
}

func newSessionShowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "show META ID",
		Short:   "Show what a session holds, by path",
		Long:    `show lists the files that a session has open, and its locks, with their paths.`,
		Example: "  mirrorfs session show redis://10.0.0.5/0 1f0c5a7be2d49a37",
		Args:    exactArgs("META", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.atSource(cmd.Context(), args[0], func(ctx context.Context, e *redis.Engine) error { return c.sessionShow(ctx, e, args[1]) })
		},
	}
}

func newSessionEndCommand(c *cli) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "end META ID",
		Short: "End a session, and release what it holds",
		Long: `end ends a session whose client is gone, and releases its locks at once. With --force it
ends that of a client that lives: programs get errors where they had locks there, and
the client goes on under a new session.`,
		Example: "  mirrorfs session end redis://10.0.0.5/0 1f0c5a7be2d49a37",
		Args:    exactArgs("META", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.atSource(cmd.Context(), args[0], func(ctx context.Context, e *redis.Engine) error {
				return c.sessionEnd(ctx, e, args[1], force)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "end it although the client lives")
	return cmd
}

// atSource opens the metadata of a source, which knows what sessions hold.
func (c *cli) atSource(ctx context.Context, addr string, do func(ctx context.Context, e *redis.Engine) error) (err error) {
	e, err := c.openMeta(ctx, addr, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	state, err := e.State(ctx)
	if err != nil {
		return explainMeta(err, addr, envMetaPassword)
	}
	if state.Role != meta.RoleSource {
		return hintf(meta.ErrReadOnly, "give the metadata address of the source: mirrorfs status %s tells it", redis.Redact(addr))
	}
	return do(ctx, e)
}

// sessionRow is a session as the commands show it.
type sessionRow struct {
	ID         string           `json:"id"`
	Info       meta.SessionInfo `json:"info"`
	AgeSeconds int64            `json:"age_seconds"`
	Expires    time.Time        `json:"expires"`
	Alive      bool             `json:"alive"`
	OpenFiles  int              `json:"open_files"`
	Locks      int              `json:"locks"`
}

func sessionRowOf(s *meta.Session) sessionRow {
	now := time.Now()
	return sessionRow{
		ID: fmt.Sprintf("%016x", uint64(s.ID)), Info: s.Info, AgeSeconds: int64(now.Sub(s.Info.Started).Seconds()),
		Expires: s.Expires, Alive: s.Expires.After(now), OpenFiles: s.OpenFiles, Locks: s.Locks,
	}
}

func (c *cli) sessionList(ctx context.Context, e *redis.Engine) error {
	sessions, err := e.Sessions(ctx)
	if err != nil {
		return err
	}
	rows := make([]sessionRow, 0, len(sessions))
	for i := range sessions {
		rows = append(rows, sessionRowOf(&sessions[i]))
	}
	slices.SortFunc(rows, func(a, b sessionRow) int { return a.Info.Started.Compare(b.Info.Started) })
	return c.print(rows, func(out io.Writer) {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tKIND\tHOST\tPID\tMOUNT\tSITE\tVERSION\tAGE\tEXPIRES IN\tOPEN\tLOCKS")
		for _, r := range rows {
			left := "over"
			if r.Alive {
				left = time.Until(r.Expires).Round(time.Second).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%v\t%s\t%d\t%d\n", r.ID, r.Info.Kind, r.Info.Host, r.Info.PID, r.Info.Mount,
				r.Info.Site, r.Info.Version, time.Duration(r.AgeSeconds)*time.Second, left, r.OpenFiles, r.Locks)
		}
		_ = w.Flush()
	})
}

// maxShown bounds how many open files and how many locks show looks up.
const maxShown = 1000

// sessionHolds is what a session holds.
type sessionHolds struct {
	Session sessionRow `json:"session"`
	Open    []openFile `json:"open"`
	Locks   []lockRow  `json:"locks"`
}

type openFile struct {
	Inode meta.Ino `json:"inode"`
	Path  string   `json:"path"`
}

type lockRow struct {
	openFile
	Kind  string `json:"kind"` // fcntl or flock
	Type  string `json:"type"` // shared or exclusive
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	PID   uint32 `json:"pid"`
}

func (c *cli) sessionShow(ctx context.Context, e *redis.Engine, id string) error {
	s, err := findSession(ctx, e, id)
	if err != nil {
		return err
	}
	h := sessionHolds{Session: sessionRowOf(s), Open: []openFile{}, Locks: []lockRow{}}
	inos, err := e.OpenFiles(ctx, s.ID, maxShown)
	if err != nil {
		return err
	}
	for _, ino := range inos {
		h.Open = append(h.Open, fileOf(ctx, e, ino))
	}
	locks, err := e.SessionLocks(ctx, s.ID, maxShown)
	if err != nil {
		return err
	}
	for _, l := range locks {
		h.Locks = append(h.Locks, lockRow{
			openFile: fileOf(ctx, e, l.Ino), First: l.First, Last: l.Last, PID: l.PID,
			Kind: map[meta.LockKind]string{meta.LockRange: "fcntl", meta.LockFile: "flock"}[l.Kind],
			Type: map[meta.LockType]string{meta.LockShared: "shared", meta.LockExclusive: "exclusive"}[l.Type],
		})
	}
	return c.print(h, h.write)
}

func (h *sessionHolds) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "session\t%s\n", h.Session.ID)
	fmt.Fprintf(w, "client\t%s of %s, process %d, %s\n", h.Session.Info.Kind, h.Session.Info.Host, h.Session.Info.PID, h.Session.Info.Mount)
	for _, f := range h.Open {
		fmt.Fprintf(w, "open\t%s\n", f.Path)
	}
	for _, l := range h.Locks {
		last := strconv.FormatUint(l.Last, 10)
		if l.Last == meta.MaxLockByte {
			last = "end"
		}
		fmt.Fprintf(w, "lock\t%s, %s %s, bytes %d to %s, process %d\n", l.Path, l.Kind, l.Type, l.First, last, l.PID)
	}
	_ = w.Flush()
}

// fileOf finds a path of a file.
func fileOf(ctx context.Context, r meta.Reader, ino meta.Ino) openFile {
	f := openFile{Inode: ino}
	n, err := r.GetAttr(ctx, ino)
	if err == nil && n.Attr.Nlink == 0 && !n.Attr.IsDir() {
		f.Path = fmt.Sprintf("(inode %d, which has no name any more)", ino)
		return f
	}
	if err == nil {
		f.Path, err = pathOf(ctx, r, ino)
	}
	if err != nil {
		f.Path = fmt.Sprintf("(inode %d)", ino)
	}
	return f
}

// findSession finds a session by what ls shows.
func findSession(ctx context.Context, e *redis.Engine, id string) (*meta.Session, error) {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return nil, usagef("session %q: want the hexadecimal number that mirrorfs session ls shows", id)
	}
	sessions, err := e.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(sessions, func(s meta.Session) bool { return uint64(s.ID) == n })
	if i < 0 {
		return nil, fmt.Errorf("there is no session %s", id)
	}
	return &sessions[i], nil
}

func (c *cli) sessionEnd(ctx context.Context, e *redis.Engine, id string, force bool) error {
	s, err := findSession(ctx, e, id)
	if err != nil {
		return err
	}
	if _, err := e.Change(ctx, meta.EndOtherSession{ID: s.ID, Force: force}); err != nil {
		if errors.Is(err, syscall.EBUSY) {
			return hintf(fmt.Errorf("session %s: its client lives", id), "--force ends it all the same; its programs may lose locks")
		}
		return err
	}
	const batch = 1000
	for {
		n, err := e.SweepLocks(ctx, batch)
		if err != nil {
			return err
		}
		if n < batch {
			break
		}
	}
	return c.print(map[string]string{"ended": id}, func(w io.Writer) { fmt.Fprintf(w, "ended session %s\n", id) })
}

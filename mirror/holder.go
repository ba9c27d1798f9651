package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// holder is which process has a mirror's lease, and as whom, so that one on the same machine can tell
// whether it still runs. Where Linux does not tell all of it, it is as good as none.
type holder struct {
	// Owner is what the lease is claimed as.
	Owner string `json:"owner,omitempty"`
	// Boot tells the start of a kernel from all others, Space the set of process numbers among those that this
	// kernel has at a time, and Started when the process began, in the kernel's ticks: numbers of processes are
	// given again.
	Boot    string `json:"boot,omitempty"`
	Space   string `json:"space,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Started string `json:"started,omitempty"`
}

// here is this process, as the holder of a lease.
func here(owner string) holder {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, e := os.Readlink("/proc/self/ns/pid")
	_, started, e2 := processStat(os.Getpid())
	if errors.Join(err, e, e2) != nil {
		return holder{}
	}
	return holder{Owner: owner, Boot: string(bytes.TrimSpace(boot)), Space: space, PID: os.Getpid(), Started: started}
}

// processStat tells the state of a process, and when it began.
func processStat(pid int) (state, started string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	// proc(5): the second field is a name in parentheses, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const startTime = 22 - 3 // the first of these is the third of all
	if len(fields) <= startTime {
		return "", "", fmt.Errorf("process %d: %d fields", pid, len(fields))
	}
	return fields[0], fields[startTime], nil
}

// dead reports whether the process is surely no more: it ran under this kernel, among the processes that this one
// sees. A container that was started anew has other ones, and then nobody can tell.
func (h *holder) dead() bool {
	if h.Owner == "" || h.Boot == "" || h.PID == 0 {
		return false
	}
	if me := here(h.Owner); me.Boot != h.Boot || me.Space != h.Space {
		return false
	}
	if errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH) {
		return true
	}
	state, started, err := processStat(h.PID)
	return err == nil && (started != h.Started || state == "Z" || state == "X")
}

// inherit gives back the lease of a runner that died on this machine, which need not be waited for. It reports
// whether there was one.
func (r *runner) inherit(ctx context.Context) bool {
	local, err := r.cfg.Replica.Local(ctx)
	if err != nil {
		return false
	}
	n, err := noteFrom(local)
	if err != nil || !n.Holder.dead() || n.Holder.Owner == r.inherited {
		return false
	}
	if err := r.cfg.Claims.Unclaim(ctx, runnerLease, n.Holder.Owner); err != nil {
		return false
	}
	r.inherited = n.Holder.Owner
	r.cfg.Logger.InfoContext(ctx, "the runner at work has died: this one takes over", slog.String("was", n.Runner.String()))
	return true
}

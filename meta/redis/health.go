package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// Warning is a setting of the server that endangers data.
type Warning struct {
	Setting string // to change, as in redis.conf: "appendonly yes"
	Reason  string
}

// String writes both.
func (w Warning) String() string { return w.Reason + "; set " + w.Setting }

// CheckServer looks at the server's version and settings. What would lose metadata
// without a crash is an error; what would lose some in a crash of the server is a warning.
func (e *Engine) CheckServer(ctx context.Context) ([]Warning, error) {
	about := meta.Error{Op: "check server", Name: e.volume}
	var info string
	err := e.ask(ctx, "info", func(ctx context.Context) (err error) {
		info, err = e.client().Info(ctx, "server").Result()
		return err
	})
	if err != nil {
		return nil, e.fail(ctx, about, err)
	}
	if v := infoField(info, "redis_version"); majorOf(v) < 7 {
		about.Errno, about.Err = syscall.ENOTSUP, fmt.Errorf("server is version %q: Redis 7 or newer, or Valkey, is needed", v)
		return nil, &about
	}
	settings, denied := e.settings(ctx)
	if denied != nil {
		return []Warning{{
			Setting: "appendonly yes and maxmemory-policy noeviction",
			Reason:  "the server does not tell its settings (" + denied.Error() + "): make sure of them yourself",
		}}, nil
	}
	if p := settings["maxmemory-policy"]; p != "" && p != "noeviction" {
		about.Errno = syscall.EINVAL
		about.Err = fmt.Errorf("server evicts keys when memory is full (maxmemory-policy %s), which would destroy the volume: set maxmemory-policy noeviction", p)
		return nil, &about
	}
	return durabilityWarnings(settings), nil
}

func durabilityWarnings(settings map[string]string) []Warning {
	var all []Warning
	switch {
	case settings["appendonly"] == "no":
		all = append(all, Warning{Setting: "appendonly yes", Reason: "the server keeps no append-only file: a crash of it loses all changes since its last snapshot"})
	case settings["appendfsync"] == "no":
		all = append(all, Warning{Setting: "appendfsync everysec (or always)", Reason: "the append-only file is not synced: a crash of the machine loses what the kernel had not yet written"})
	}
	return all
}

// Durability says what of the acknowledged changes survives a crash of the server.
func (e *Engine) Durability(ctx context.Context) string {
	settings, denied := e.settings(ctx)
	switch {
	case denied != nil:
		return "unknown: the server does not tell its settings"
	case settings["appendonly"] != "yes":
		return "changes since the last snapshot are lost in a crash of the server (appendonly no)"
	case settings["appendfsync"] == "always":
		return "every acknowledged change is on disk (appendfsync always)"
	case settings["appendfsync"] == "everysec":
		return "changes of up to the last second are lost in a crash of the server's machine, none in a crash of its process (appendfsync everysec)"
	default:
		return "changes that the kernel has not written are lost in a crash of the server's machine (appendfsync no)"
	}
}

// settings asks for those that matter. Managed servers may deny it.
func (e *Engine) settings(ctx context.Context) (map[string]string, error) {
	settings := map[string]string{}
	var replies []*goredis.MapStringStringCmd
	_, err := e.client().Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, name := range []string{"maxmemory-policy", "appendonly", "appendfsync"} {
			replies = append(replies, p.ConfigGet(ctx, name))
		}
		return nil
	})
	for _, r := range replies {
		for name, value := range r.Val() {
			settings[name] = value
		}
	}
	return settings, err
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func majorOf(version string) int {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n
}

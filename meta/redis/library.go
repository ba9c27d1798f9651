package redis

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

const (
	// libraryName and functionPrefix carry the version of the format.
	libraryName    = "mirrorfs_1"
	functionPrefix = libraryName + "_"
	// libraryRevision rises with each change of lua/: a client replaces an older library
	// and leaves a newer one alone.
	libraryRevision = 33
)

// library is the source of all functions. A file sees the locals of those before it.
func library() (string, error) {
	var b strings.Builder
	b.WriteString("#!lua name=" + libraryName + "\n")
	for _, name := range []string{
		"base", "dirs", "change", "quota", "acl", "extents", "content", "links", "attr", "names", "rename", "count", "sessions",
		"trash", "read", "scan", "apply", "repair", "replica", "compare", "failover", "ranges", "locks", "claims",
	} {
		text, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return "", fmt.Errorf("library: %w", err)
		}
		b.Write(text)
	}
	fmt.Fprintf(&b, "define('revision', function() return %d end, {'no-writes'})\n", libraryRevision)
	return b.String(), nil
}

// loadLibrary loads the functions unless the server has them in this revision or a newer one.
func (s *server) loadLibrary(ctx context.Context, key string) error {
	reply, err := s.client().Do(ctx, "fcall_ro", functionPrefix+"revision", 1, key).Result()
	if n, ok := reply.(int64); err == nil && ok && n >= libraryRevision {
		return nil
	}
	if err != nil && !isMissing(err) {
		return err
	}
	code, err := library()
	if err != nil {
		return err
	}
	var node goredis.Cmdable = s.client()
	if cluster, ok := s.client().(*goredis.ClusterClient); ok {
		// Functions live on each node; ours are called on the one that has the volume.
		if node, err = cluster.MasterForKey(ctx, key); err != nil {
			return err
		}
	}
	if _, err := node.FunctionLoadReplace(ctx, code).Result(); err != nil {
		if strings.HasPrefix(err.Error(), "ERR unknown command") {
			return fmt.Errorf("server is too old: Redis 7 or newer, or Valkey, is needed: %w", err)
		}
		return err
	}
	s.opts.Logger.InfoContext(ctx, "loaded the functions", logInt("revision", libraryRevision))
	return nil
}

// isMissing reports whether a call found no such function.
func isMissing(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "ERR Function not found")
}

func formatUint[T ~uint64 | ~uint32](n T) string { return strconv.FormatUint(uint64(n), 10) }

package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// Memory is how many bytes of the server's memory the volume's keys take, the log apart.
// It looks at every value of every key, and the server answers nobody else while it looks
// at a large one.
func (e *Engine) Memory(ctx context.Context) (int64, error) {
	sizes := map[string]int64{} // by name, of which some come twice
	err := e.eachKey(ctx, "", func(ctx context.Context, names []string) error {
		return e.ask(ctx, "memory_usage", func(ctx context.Context) error {
			usages := make(map[string]*goredis.IntCmd, len(names))
			_, err := e.client().Pipelined(ctx, func(p goredis.Pipeliner) error {
				for _, name := range names {
					if name != "log" {
						usages[name] = p.MemoryUsage(ctx, e.prefix()+name, 0)
					}
				}
				return nil
			})
			for name, usage := range usages {
				sizes[name] = usage.Val()
			}
			if err == goredis.Nil { //nolint:errorlint // go-redis gives it bare
				return nil // a key went meanwhile
			}
			return err
		})
	})
	var total int64
	for _, size := range sizes {
		total += size
	}
	if err != nil {
		return 0, e.fail(ctx, meta.Error{Op: "memory", Name: e.volume}, err)
	}
	return total, nil
}

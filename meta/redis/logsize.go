package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// logSamples is of how many parts of the log the server estimates its size.
	logSamples = 2000
	// ownSamples is from how many of the newest entries it is estimated here, when the server
	// does not tell.
	ownSamples = 200
	// entryBytes is what an entry takes beside its record: its ID, the lengths, and its part of the
	// tree. Measured with Redis 7: 15 to 30 bytes.
	entryBytes = 24
)

// logExtent is how large a log is.
type logExtent struct {
	length int64
	// bytes is about how much of the server's memory it takes.
	bytes int64
	// guessed says that the server refuses to tell, as managed ones may, and that bytes goes by the newest
	// entries.
	guessed bool
}

// logSize asks how large the log is.
func (e *Engine) logSize(ctx context.Context) (logExtent, error) {
	var size, count *goredis.IntCmd
	key := e.prefix() + "log"
	err := e.ask(ctx, "log_size", func(ctx context.Context) error {
		_, _ = e.client().Pipelined(ctx, func(p goredis.Pipeliner) error {
			count = p.XLen(ctx, key)
			size = p.MemoryUsage(ctx, key, logSamples)
			return nil
		})
		if err := size.Err(); !errors.Is(err, goredis.Nil) && !isRefusal(err) { // Nil: there is no log
			return err
		}
		return count.Err()
	})
	if err != nil {
		return logExtent{}, err
	}
	if !isRefusal(size.Err()) {
		return logExtent{length: count.Val(), bytes: size.Val()}, nil
	}
	each, err := e.recordBytes(ctx)
	return logExtent{length: count.Val(), bytes: count.Val() * each, guessed: true}, err
}

// recordBytes is about what one of the newest entries of the log takes.
func (e *Engine) recordBytes(ctx context.Context) (int64, error) {
	var newest []goredis.XMessage
	err := e.ask(ctx, "xrevrange", func(ctx context.Context) (err error) {
		newest, err = e.client().XRevRangeN(ctx, e.prefix()+"log", "+", "-", ownSamples).Result()
		return err
	})
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	sum := int64(0)
	for i := range newest {
		raw, _ := newest[i].Values["r"].(string)
		sum += int64(len(raw)) + entryBytes
	}
	return sum / int64(len(newest)), nil
}

// isRefusal reports whether a server that answers does not do what it was asked.
func isRefusal(err error) bool {
	var refused goredis.Error
	return errors.As(err, &refused) && !errors.Is(err, goredis.Nil) && !isPassing(err)
}

package redis

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mirrorfs/meta"
)

// Summary is what a volume keeps beside its files, and its server's state.
type Summary struct {
	// LogRecords are in the log, from LogFirst on.
	LogRecords int64         `json:"log_records"`
	LogFirst   meta.Position `json:"log_first"`
	// LogMemory is about how many bytes of the server's memory they take. LogGuessed: the server
	// refuses to tell (MEMORY USAGE), and it goes by the size of the newest records.
	LogMemory  int64 `json:"log_memory_bytes"`
	LogGuessed bool  `json:"log_memory_guessed,omitempty"`
	// Orphans are deleted and not purged, Freed is how many changes freed slices that are
	// not reclaimed; each since the oldest, the zero time when there is none.
	Orphans      int64     `json:"orphans"`
	OrphansSince time.Time `json:"orphans_since,omitzero"`
	Freed        int64     `json:"freed"`
	FreedSince   time.Time `json:"freed_since,omitzero"`
	Server       Server    `json:"server"`
}

// Server is what a volume's server says of itself; empty where it does not tell.
type Server struct {
	Version      string `json:"version"`
	UsedBytes    uint64 `json:"used_bytes"`
	MaxBytes     uint64 `json:"max_bytes"` // 0: no limit
	AOF          string `json:"aof,omitempty"`
	LastAOFWrite string `json:"last_aof_write,omitempty"` // "ok", or what went wrong
	Replicas     int    `json:"replicas"`
}

// Summary asks for it in one round trip.
func (e *Engine) Summary(ctx context.Context) (Summary, error) {
	var length, orphans, freed *goredis.IntCmd
	var first *goredis.XMessageSliceCmd
	var oldOrphan, oldFreed *goredis.ZSliceCmd
	var info *goredis.StringCmd
	err := e.ask(ctx, "summary", func(ctx context.Context) error {
		_, err := e.client().Pipelined(ctx, func(p goredis.Pipeliner) error {
			length = p.XLen(ctx, e.prefix()+"log")
			first = p.XRangeN(ctx, e.prefix()+"log", "-", "+", 1)
			orphans, freed = p.ZCard(ctx, e.prefix()+"o"), p.ZCard(ctx, e.prefix()+"f")
			// The time 0 is of orphans whose purge has begun.
			oldest := &goredis.ZRangeBy{Min: "(0", Max: "+inf", Count: 1}
			oldOrphan = p.ZRangeByScoreWithScores(ctx, e.prefix()+"o", oldest)
			oldFreed = p.ZRangeByScoreWithScores(ctx, e.prefix()+"f", oldest)
			return nil
		})
		return err
	})
	if err != nil {
		return Summary{}, e.fail(ctx, meta.Error{Op: "summary", Name: e.volume}, err)
	}
	s := Summary{
		LogRecords: length.Val(), Orphans: orphans.Val(), Freed: freed.Val(),
		OrphansSince: since(oldOrphan.Val()), FreedSince: since(oldFreed.Val()),
	}
	if m := first.Val(); len(m) > 0 {
		if s.LogFirst, err = meta.ParsePosition(m[0].ID); err != nil {
			return s, e.fail(ctx, meta.Error{Op: "summary", Name: e.volume}, err)
		}
	}
	log, err := e.logSize(ctx)
	if err != nil {
		return s, e.fail(ctx, meta.Error{Op: "summary", Name: e.volume}, err)
	}
	s.LogMemory, s.LogGuessed = log.bytes, log.guessed
	// A managed server may refuse this, and is asked for nothing else then.
	if info = e.client().Info(ctx); info.Err() == nil {
		s.Server = serverOf(info.Val())
	}
	return s, nil
}

func since(oldest []goredis.Z) time.Time {
	if len(oldest) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(oldest[0].Score)).UTC()
}

func serverOf(info string) Server {
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(infoField(info, name), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	s := Server{
		Version: infoField(info, "redis_version"), UsedBytes: number("used_memory"), MaxBytes: number("maxmemory"),
		Replicas: int(number("connected_slaves")), AOF: "off",
	}
	if number("aof_enabled") == 1 {
		s.AOF, s.LastAOFWrite = "on", infoField(info, "aof_last_write_status")
	}
	return s
}

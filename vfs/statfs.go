package vfs

import (
	"context"

	"mirrorfs/meta"
)

// StatFS is what statfs(2) tells of a volume, or of a part of it that has a quota.
type StatFS struct {
	Used  meta.Usage
	Total meta.Usage
	// Avail is what is left before some quota is full; less than what Used leaves of
	// Total when that is another one, farther out.
	Avail meta.Usage
}

// The totals that a volume claims while it is small. Object storage has no end;
// programs want a number that they do not come near.
const (
	leastTotalBytes  = 1 << 50
	leastTotalInodes = 1 << 32
)

// StatFS gives what a file or directory shares its room with: the nearest quota
// that limits it, else the volume, with totals of which at most half is used.
func (fs *FS) StatFS(ctx context.Context, ino meta.Ino) (StatFS, error) {
	ctx, cancel := fs.asking(ctx)
	defer cancel()
	quotas, err := fs.engine.QuotasAt(ctx, ino)
	if err != nil {
		return StatFS{}, err
	}
	fs.limits.see(quotas)
	var s StatFS
	s.Total.Bytes, s.Used.Bytes, s.Avail.Bytes = space(quotas, leastTotalBytes, func(u *meta.Usage) uint64 { return u.Bytes })
	s.Total.Inodes, s.Used.Inodes, s.Avail.Inodes = space(quotas, leastTotalInodes, func(u *meta.Usage) uint64 { return u.Inodes })
	return s, nil
}

// space gives the total, used and available amount of what of picks. The last of
// quotas is the volume's.
func space(quotas []meta.Quota, least uint64, of func(*meta.Usage) uint64) (total, used, avail uint64) {
	limited := false
	for i := range quotas {
		q := &quotas[i]
		limit, u := of(&q.Limit), of(&q.Used)
		if limit == 0 || q.IsCounting() {
			continue
		}
		left := max(limit, u) - u
		if !limited {
			total, used, avail, limited = max(limit, u), u, left, true
		}
		avail = min(avail, left)
	}
	if !limited {
		used = of(&quotas[len(quotas)-1].Used)
		total = max(least, 2*used)
		avail = total - used
	}
	return total, used, avail
}

package redis

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"mirrorfs/meta"
)

// Quotas implements meta.Reader.
func (r reader) Quotas(ctx context.Context) ([]meta.Quota, error) {
	about := meta.Error{Op: "quotas"}
	all, _, err := r.quotas(ctx, about, "quotas")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b meta.Quota) int { return cmp.Compare(a.Dir, b.Dir) })
	return all, nil
}

// QuotasAt implements meta.Reader.
func (r reader) QuotasAt(ctx context.Context, ino meta.Ino) ([]meta.Quota, error) {
	about := meta.Error{Op: "quotas", Ino: ino}
	all, used, err := r.quotas(ctx, about, "quotas_at", uint64(ino))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || all[len(all)-1].Dir != meta.RootIno {
		all = append(all, meta.Quota{Dir: meta.RootIno, Used: used})
	}
	return all, nil
}

// quotas asks for quotas. What the volume uses is in its state.
func (r reader) quotas(ctx context.Context, about meta.Error, function string, args ...any) ([]meta.Quota, meta.Usage, error) {
	reply, err := r.answer(ctx, about, function, args...)
	if err != nil {
		return nil, meta.Usage{}, err
	}
	all, used, err := decodeQuotas(reply)
	if err != nil {
		return nil, meta.Usage{}, r.s.fail(ctx, about, err)
	}
	return all, used, nil
}

func decodeQuotas(reply any) ([]meta.Quota, meta.Usage, error) {
	rows, err := texts(reply, 1)
	if err != nil || len(rows)%2 != 1 {
		return nil, meta.Usage{}, errMalformed
	}
	state, err := decodeState([]byte(rows[0]))
	if err != nil {
		return nil, meta.Usage{}, err
	}
	var all []meta.Quota
	for rows = rows[1:]; len(rows) > 0; rows = rows[2:] {
		q, err := decodeQuota(rows[0], rows[1])
		if err != nil {
			return nil, meta.Usage{}, err
		}
		if q.Dir == meta.RootIno {
			q.Used = state.Usage
		}
		all = append(all, q)
	}
	return all, state.Usage, nil
}

// decodeQuota reads a row.
func decodeQuota(dir, value string) (meta.Quota, error) {
	ino, err := strconv.ParseUint(dir, 10, 48)
	if err != nil {
		return meta.Quota{}, errMalformed
	}
	return meta.DecodeQuota(meta.Ino(ino), []byte(value))
}

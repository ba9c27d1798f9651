package model

import (
	"context"
	"maps"
	"slices"
	"syscall"

	"mirrorfs/meta"
)

func (s *staged) setQuota(c *meta.SetQuota) syscall.Errno {
	t := &s.v.tables
	dir, errno := t.dir(c.Dir)
	if errno != 0 {
		return errno
	}
	q, exists := t.quotas[c.Dir]
	switch {
	case c.Limit == meta.Usage{} && !exists:
		return syscall.ENODATA
	case c.Limit == meta.Usage{}:
		s.quotas[c.Dir] = nil
		return 0
	case !exists && len(t.quotas) >= meta.MaxQuotas:
		return syscall.ENOSPC
	case !exists:
		q.Dir = c.Dir
		if dir.Attr.Size > 0 && c.Dir != meta.RootIno {
			q.Next, q.End = 1, s.counters.NextIno
		}
	}
	q.Limit = c.Limit
	s.quotas[c.Dir] = &q
	return 0
}

func (s *staged) count(c *meta.Count) syscall.Errno {
	if _, errno := s.v.tables.dir(c.Dir); errno != 0 {
		return errno
	}
	q, exists := s.v.tables.quotas[c.Dir]
	if !exists {
		return syscall.ENODATA
	}
	if !q.IsCounting() {
		return 0
	}
	if q.Next += meta.MaxCountInodes; q.Next >= q.End {
		q.Next, q.End = 0, 0
	}
	s.quotas[c.Dir] = &q
	return 0
}

// settleQuotas counts anew what each quota counts, stages the rows that differ, and
// says whether the change takes too much.
func (s *staged) settleQuotas(c meta.Change) syscall.Errno {
	before := s.v.tables.quotas
	after := maps.Clone(before)
	for dir, q := range s.quotas {
		if q == nil {
			delete(after, dir)
			s.add(meta.Effect{Kind: meta.EffectQuotaGone, Ino: dir})
		} else {
			after[dir] = *q
		}
	}
	s.countAll(after)
	_, mayGrow := c.(meta.Unlink) // then a file with several names may count elsewhere
	errno := syscall.Errno(0)
	for _, dir := range slices.Sorted(maps.Keys(after)) {
		was, is := before[dir], after[dir]
		if s.quotas[dir] != nil || was != is {
			s.add(meta.Effect{Kind: meta.EffectQuota, Quota: is})
		}
		used, full := is.Used, syscall.EDQUOT
		if dir == meta.RootIno { // its row holds limits only
			was.Used, used, full = s.v.state.Usage, s.counters.Usage, syscall.ENOSPC
		}
		if !mayGrow && !was.Allows(used) {
			errno = full
		}
	}
	return errno
}

// countAll sets what quotas count, once the staged change is made.
func (s *staged) countAll(quotas map[meta.Ino]meta.Quota) {
	if len(quotas) == 0 {
		return
	}
	for dir, q := range quotas {
		q.Used = meta.Usage{}
		quotas[dir] = q
	}
	above := map[meta.Ino][]meta.Ino{meta.RootIno: nil}
	for _, ino := range s.allInodes() {
		a := s.attr(ino)
		if a.Nlink == 0 || ino == meta.RootIno {
			continue
		}
		for _, dir := range s.quotaDirs(quotas, above, a.Parent) {
			q := quotas[dir]
			if q.Counts(ino) {
				q.Used.Inodes++
				q.Used.Bytes += usedBytes(&a)
			}
			quotas[dir] = q
		}
	}
}

// quotaDirs gives the directories with a quota that a directory is, or is below, the
// root left out. It remembers what it finds in above.
func (s *staged) quotaDirs(quotas map[meta.Ino]meta.Quota, above map[meta.Ino][]meta.Ino, dir meta.Ino) []meta.Ino {
	if found, ok := above[dir]; ok {
		return found
	}
	found := slices.Clone(s.quotaDirs(quotas, above, s.attr(dir).Parent))
	if _, ok := quotas[dir]; ok {
		found = append([]meta.Ino{dir}, found...)
	}
	above[dir] = found
	return found
}

// attr gives the attributes of an inode once the change is made; zero when it is gone.
func (s *staged) attr(ino meta.Ino) meta.Attr {
	if a, ok := s.inodes[ino]; ok {
		if a == nil {
			return meta.Attr{}
		}
		return *a
	}
	return s.v.tables.inodes[ino]
}

// allInodes lists the inodes from before and after the change.
func (s *staged) allInodes() []meta.Ino {
	all := slices.Collect(maps.Keys(s.v.tables.inodes))
	for ino := range s.inodes {
		if _, ok := s.v.tables.inodes[ino]; !ok {
			all = append(all, ino)
		}
	}
	return all
}

// quotasAbove gives the directories with a quota that a directory is or is below,
// innermost first, the root left out.
func (t *tables) quotasAbove(dir meta.Ino) []meta.Ino {
	var found []meta.Ino
	for ; dir != meta.RootIno; dir = t.inodes[dir].Parent {
		if _, ok := t.quotas[dir]; ok {
			found = append(found, dir)
		}
	}
	return found
}

// quota gives a row with what it counts.
func (v *volume) quota(dir meta.Ino) meta.Quota {
	q := v.tables.quotas[dir]
	if q.Dir = dir; dir == meta.RootIno {
		q.Used = v.state.Usage
	}
	return q
}

// Quotas implements meta.Reader.
func (r reader) Quotas(ctx context.Context) (all []meta.Quota, err error) {
	err = r.read(ctx, meta.Error{Op: "quotas"}, func(t *tables) syscall.Errno {
		for _, dir := range slices.Sorted(maps.Keys(t.quotas)) {
			all = append(all, r.v.quota(dir))
		}
		return 0
	})
	return all, err
}

// QuotasAt implements meta.Reader.
func (r reader) QuotasAt(ctx context.Context, ino meta.Ino) (all []meta.Quota, err error) {
	err = r.read(ctx, meta.Error{Op: "quotas", Ino: ino}, func(t *tables) syscall.Errno {
		n, errno := t.node(ino)
		if errno != 0 {
			return errno
		}
		if !n.Attr.IsDir() {
			ino = n.Attr.Parent
		}
		if n.Attr.Nlink > 0 {
			for _, dir := range t.quotasAbove(ino) {
				all = append(all, r.v.quota(dir))
			}
		}
		all = append(all, r.v.quota(meta.RootIno))
		return 0
	})
	return all, err
}

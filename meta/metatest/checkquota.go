package metatest

import (
	"maps"

	"mirrorfs/meta"
)

// checkNames compares entries with what files say of the directories of their names.
func (r *rows) checkNames() {
	places := map[meta.Ino]map[meta.Ino]uint32{}
	for k, e := range r.entries {
		if places[e.Ino] == nil {
			places[e.Ino] = map[meta.Ino]uint32{}
		}
		places[e.Ino][k.parent]++
	}
	for ino, a := range r.inodes {
		dirs := places[ino]
		if a.IsDir() || len(dirs) == 0 {
			dirs = nil
		} else if dirs[a.Parent] == 0 {
			r.complain("inode %d says that it has a name in %d, but has them in %v", ino, a.Parent, dirs)
		}
		if a.Spread != (len(dirs) > 1) {
			r.complain("inode %d has names in %v, but spread is %v", ino, dirs, a.Spread)
		}
		if len(dirs) < 2 {
			dirs = nil
		}
		if !maps.Equal(r.names[ino], dirs) {
			r.complain("inode %d has names in %v, but rows for %v", ino, dirs, r.names[ino])
		}
	}
	for ino := range r.names {
		if _, ok := r.inodes[ino]; !ok {
			r.complain("names of inode %d, which does not exist", ino)
		}
	}
}

// checkQuotas sums up what is below each directory with a quota.
func (r *rows) checkQuotas() {
	sums := map[meta.Ino]meta.Usage{}
	for ino, a := range r.inodes {
		if a.Nlink == 0 || ino == meta.RootIno {
			continue
		}
		for dir := a.Parent; dir != meta.RootIno; dir = r.inodes[dir].Parent {
			if _, ok := r.inodes[dir]; !ok {
				r.complain("inode %d is below %d, which does not exist", ino, dir)
				break
			}
			if q, ok := r.quotas[dir]; ok && q.Counts(ino) {
				u := sums[dir]
				u.Inodes++
				if a.IsFile() {
					u.Bytes += (a.Size + 4095) / 4096 * 4096
				}
				sums[dir] = u
			}
		}
	}
	for dir, q := range r.quotas {
		if a := r.inodes[dir]; !a.IsDir() {
			r.complain("quota of %d, which is no directory", dir)
		}
		if q.Used != sums[dir] {
			r.complain("the quota of %d says %+v, and there is %+v", dir, q, sums[dir])
		}
	}
}

package fsck

import (
	"mirrorfs/meta"
)

// checkQuotas adds up what will be below each directory with a quota. The volume's own is
// compared with all inodes.
func (c *checker) checkQuotas() {
	if len(c.t.quotas) == 0 {
		return
	}
	sums := map[meta.Ino]meta.Usage{}
	above := map[meta.Ino][]meta.Ino{} // directories with a quota that a directory is in, or is
	for ino := range c.t.inodes {
		a, ok := c.right(ino)
		bytes, inodes := used(&a)
		if !ok || inodes == 0 || ino == meta.RootIno {
			continue
		}
		for _, dir := range c.quotasOf(a.Parent, above) {
			if q := c.t.quotas[dir]; q.Counts(ino) {
				sum := sums[dir]
				sum.Bytes += bytes
				sum.Inodes += inodes
				sums[dir] = sum
			}
		}
	}
	for dir, q := range c.t.quotas {
		if a, ok := c.t.attr(dir); !ok || !a.IsDir() {
			c.find(KindQuota, dir, "it has a quota, and is no directory").mend("remove the quota", &fix{repair: meta.Repair{
				Effects: []meta.Effect{{Kind: meta.EffectQuotaGone, Ino: dir}},
			}})
			continue
		}
		if dir == meta.RootIno || sums[dir] == q.Used {
			continue
		}
		right := q
		right.Used = sums[dir]
		c.find(KindQuota, dir, "%d bytes and %d inodes are below it, and its quota counts %d and %d", right.Used.Bytes, right.Used.Inodes, q.Used.Bytes, q.Used.Inodes).
			mend("correct the count", &fix{repair: meta.Repair{
				Expect:  []meta.Effect{{Kind: meta.EffectQuota, Quota: q}},
				Effects: []meta.Effect{{Kind: meta.EffectQuota, Quota: right}},
			}})
	}
}

// quotasOf gives the directories with a quota that a directory is in or is, but the root.
func (c *checker) quotasOf(dir meta.Ino, known map[meta.Ino][]meta.Ino) []meta.Ino {
	var way []meta.Ino
	at := dir
	for {
		if _, ok := known[at]; ok || at == meta.RootIno {
			break
		}
		known[at] = nil // directories may lie in each other
		way = append(way, at)
		a, ok := c.right(at)
		if !ok {
			break
		}
		at = a.Parent
	}
	found := known[at]
	for i := len(way) - 1; i >= 0; i-- {
		if _, ok := c.t.quotas[way[i]]; ok {
			found = append(found[:len(found):len(found)], way[i])
		}
		known[way[i]] = found
	}
	return found
}

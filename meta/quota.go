package meta

import (
	"encoding/binary"
	"fmt"
)

// Quota limits what is below a directory, itself not counted; the root's limits the
// volume, root included. An inode counts where it has a name: a file with
// several, in the directory that Attr.Parent tells.
//
// A change that would make Used larger than Limit fails with EDQUOT, or with ENOSPC
// when it is the volume's. Only growth is refused: what is too much already may
// be kept, changed and removed.
type Quota struct {
	Dir   Ino   `json:"inode"`
	Limit Usage `json:"limit"` // 0: none
	Used  Usage `json:"used"`
	// While a quota that was set on a directory with something in it is being
	// counted, Used lacks the inodes from Next up to End, and nothing is refused.
	// Both are 0 afterwards.
	Next Ino `json:"next,omitempty"`
	End  Ino `json:"end,omitempty"`
}

const (
	// MaxQuotas is how many directories may have one.
	MaxQuotas = 10_000
	// MaxQuotaBytes bounds a limit: what Lua counts exactly.
	MaxQuotaBytes = 1<<53 - 1
	// MaxCountInodes is how many inode numbers one Count looks at.
	MaxCountInodes = 4096
)

// IsCounting reports whether Used lacks something.
func (q *Quota) IsCounting() bool { return q.End != 0 }

// Counts reports whether an inode below the directory is in Used.
func (q *Quota) Counts(ino Ino) bool { return ino < q.Next || ino >= q.End }

// Allows reports whether what a directory holds may become used.
func (q *Quota) Allows(used Usage) bool {
	if q.IsCounting() {
		return true
	}
	return allows(q.Limit.Bytes, q.Used.Bytes, used.Bytes) && allows(q.Limit.Inodes, q.Used.Inodes, used.Inodes)
}

func allows(limit, was, is uint64) bool { return limit == 0 || is <= was || is <= limit }

// SetQuota gives a directory a quota, or other limits to the one it has. With no
// limit at all it takes the quota away, ENODATA when there is none. ENOTDIR for
// anything but a directory, ENOSPC past MaxQuotas.
//
// On a directory that holds something, the quota does nothing until Count has
// been called often enough.
type SetQuota struct {
	Dir   Ino
	Limit Usage
}

// Op is OpQuota.
func (SetQuota) Op() Op { return OpQuota }

// Count goes on with the counting of a quota by up to MaxCountInodes inode numbers.
// Any client may do so, several at once too. It changes nothing when all is
// counted; ENODATA when the directory has no quota.
type Count struct{ Dir Ino }

// Op is OpCount.
func (Count) Op() Op { return OpCount }

// quotaBytes is the length of an encoded Quota, its directory left out.
const quotaBytes = 38

func appendQuota(b []byte, q *Quota) []byte {
	for _, u := range []Usage{q.Limit, q.Used} {
		b = append48(append(b, byte(u.Bytes>>48)), u.Bytes)
		b = append48(b, u.Inodes)
	}
	return append48(append48(b, uint64(q.Next)), uint64(q.End))
}

// DecodeQuota reads the value of a quota's row: docs/format.md, "Quota".
func DecodeQuota(dir Ino, b []byte) (Quota, error) {
	if len(b) != quotaBytes {
		return Quota{}, fmt.Errorf("quota of %d bytes: want %d", len(b), quotaBytes)
	}
	u56 := func(b []byte) uint64 { return binary.BigEndian.Uint64(append([]byte{0}, b[:7]...)) }
	return Quota{
		Dir:   dir,
		Limit: Usage{Bytes: u56(b), Inodes: uint48(b[7:])},
		Used:  Usage{Bytes: u56(b[13:]), Inodes: uint48(b[20:])},
		Next:  Ino(uint48(b[26:])), End: Ino(uint48(b[32:])),
	}, nil
}

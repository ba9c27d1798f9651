package fsck

import (
	"fmt"

	"mirrorfs/meta"
)

// The kinds of findings.
const (
	KindEntry       = "entry"       // a name whose inode is missing or of another type
	KindLinks       = "links"       // a link count that is not the number of names
	KindUnreachable = "unreachable" // an inode that no path leads to
	KindOrphan      = "orphan"      // an orphan's row that is missing or too much
	KindDirectory   = "directory"   // a directory's counts or parent
	KindAttributes  = "attributes"  // flags and sizes that do not fit the rows of an inode
	KindTarget      = "target"      // a symbolic link without a target
	KindExtents     = "extents"     // extents that cannot be
	KindReferences  = "references"  // references to a slice that are not its extents
	KindFreed       = "freed"       // a slice that is freed and in use
	KindQuota       = "quota"       // what a directory's quota counts
	KindUsage       = "usage"       // used bytes and inodes
	KindNext        = "next"        // the next inode or slice number is in use already
	KindReplies     = "replies"     // kept replies without a session
	KindStray       = "stray"       // rows of an inode that does not exist
	KindPages       = "pages"       // a directory's pages and their index
	KindBlock       = "block"       // a block that is missing or damaged; found by others
)

// Finding is something that is not as it should be.
type Finding struct {
	Kind    string   `json:"kind"`
	Inode   meta.Ino `json:"inode,omitempty"`
	Slice   uint64   `json:"slice,omitempty"`
	Path    string   `json:"path,omitempty"` // of the inode or, of a slice, of a file that uses it
	Problem string   `json:"problem"`
	// Repair says how it can be mended; empty when it cannot be without guessing.
	Repair string `json:"repair,omitempty"`
	// Repaired is set by Report.Repair; Failed says why it was not.
	Repaired bool   `json:"repaired,omitempty"`
	Failed   string `json:"failed,omitempty"`

	owner meta.Ino // whose path is told
	fix   *fix     // shared by all findings that one change mends
}

// fix is what mends one or more findings.
type fix struct {
	repair meta.Repair
	// lost is the inode to be put into /lost+found, and from the name that it has
	// where it cannot be reached, if it has one.
	lost meta.Ino
	from *meta.Effect

	done   bool
	failed error
}

// Report is what Check found.
type Report struct {
	Volume   string        `json:"volume"`
	Position meta.Position `json:"position"` // the state that was checked
	Inodes   uint64        `json:"inodes"`
	Names    uint64        `json:"names"`
	Slices   uint64        `json:"slices"`
	Findings []*Finding    `json:"findings"`

	checker *checker
}

// Clean reports whether nothing is left that is not as it should be.
func (r *Report) Clean() bool {
	for _, f := range r.Findings {
		if !f.Repaired {
			return false
		}
	}
	return true
}

// Owner gives one of the files that use a slice, 0 when none does.
func (r *Report) Owner(slice uint64) meta.Ino { return r.checker.t.slices[slice].owner }

// EachSlice calls each for every slice that is in use, in no order, until it returns false.
func (r *Report) EachSlice(each func(s meta.Slice) bool) {
	for id, u := range r.checker.t.slices {
		if !each(meta.Slice{ID: id, Home: u.home, Size: u.size}) {
			return
		}
	}
}

// Path gives a path of an inode, empty when it has none.
func (r *Report) Path(ino meta.Ino) string { return r.checker.path(ino) }

// Add notes something that others found about a slice.
func (r *Report) Add(slice uint64, owner meta.Ino, problem string) {
	f := &Finding{Kind: KindBlock, Inode: owner, Slice: slice, Path: r.Path(owner), Problem: problem}
	r.Findings = append(r.Findings, f)
}

// String writes a finding as a line.
func (f *Finding) String() string {
	where := f.Path
	switch {
	case where == "" && f.Inode != 0:
		where = fmt.Sprintf("inode %d", f.Inode)
	case where == "" && f.Slice != 0:
		where = fmt.Sprintf("slice %d", f.Slice)
	case where == "":
		where = "volume"
	}
	return fmt.Sprintf("%s: %s: %s", where, f.Kind, f.Problem)
}

package fsck

import (
	"mirrorfs/meta"
)

// tables are a volume's rows. Inodes and lists are kept encoded: they are many.
type tables struct {
	state    meta.State
	inodes   map[meta.Ino]string
	entries  map[entryKey]entry
	lists    map[listKey]string
	targets  map[meta.Ino]int // length
	xattrs   map[meta.Ino]map[string]bool
	refs     map[uint64]uint32
	freed    map[freedKey]meta.Effect
	orphans  map[meta.Ino]meta.Orphan
	names    map[meta.Ino]map[meta.Ino]uint32 // of files that have names in several directories
	quotas   map[meta.Ino]meta.Quota
	bad      map[meta.Ino]error // inodes whose row cannot be decoded
	sessions map[meta.SessionID]bool
	replies  map[meta.SessionID]bool

	slices map[uint64]use // follows from inodes and lists, when all is read
}

type entryKey struct {
	parent meta.Ino
	name   string
}

type entry struct {
	ino  meta.Ino
	kind uint32 // type bits of a mode
}

func (k entryKey) effect(e entry) meta.Effect {
	return meta.Effect{Kind: meta.EffectEntry, Parent: k.parent, Name: k.name, Type: e.kind, Ino: e.ino}
}

type listKey struct {
	ino   meta.Ino
	index uint32
}

type freedKey struct {
	seq uint64
	ms  int64
}

// use is how a slice is used.
type use struct {
	count uint32
	size  uint32
	home  uint8
	owner meta.Ino // one of the files
}

func newTables() *tables {
	return &tables{
		inodes: map[meta.Ino]string{}, entries: map[entryKey]entry{}, lists: map[listKey]string{},
		targets: map[meta.Ino]int{}, xattrs: map[meta.Ino]map[string]bool{}, refs: map[uint64]uint32{},
		names: map[meta.Ino]map[meta.Ino]uint32{}, quotas: map[meta.Ino]meta.Quota{}, bad: map[meta.Ino]error{},
		freed: map[freedKey]meta.Effect{}, orphans: map[meta.Ino]meta.Orphan{}, sessions: map[meta.SessionID]bool{},
		replies: map[meta.SessionID]bool{}, slices: map[uint64]use{},
	}
}

// damaged notes an inode whose row cannot be decoded.
func (t *tables) damaged(ino meta.Ino, err error) { t.bad[ino] = err }

// Rows implements dump.Sink.
func (t *tables) Rows(effects []meta.Effect) error {
	for i := range effects {
		t.apply(&effects[i])
	}
	return nil
}

// Records implements dump.Sink.
func (t *tables) Records(_ []meta.LogEntry, records []meta.Record) error {
	for i := range records {
		for j := range records[i].Effects {
			t.apply(&records[i].Effects[j])
		}
	}
	return nil
}

// apply sets or deletes the row of an effect.
func (t *tables) apply(e *meta.Effect) {
	switch e.Kind {
	case meta.EffectInode:
		delete(t.bad, e.Ino)
		t.inodes[e.Ino] = string(meta.AppendInode(nil, &e.Attr))
	case meta.EffectInodeGone:
		delete(t.bad, e.Ino)
		delete(t.inodes, e.Ino)
	case meta.EffectEntry:
		t.entries[entryKey{e.Parent, e.Name}] = entry{e.Ino, e.Type}
	case meta.EffectEntryGone:
		delete(t.entries, entryKey{e.Parent, e.Name})
	case meta.EffectChunk:
		k := listKey{e.Ino, e.Index}
		old := t.lists[k]
		t.lists[k] = old[:min(int(e.Keep), len(old))] + string(e.Value)
	case meta.EffectChunkGone:
		delete(t.lists, listKey{e.Ino, e.Index})
	case meta.EffectTarget:
		t.targets[e.Ino] = len(e.Value)
	case meta.EffectTargetGone:
		delete(t.targets, e.Ino)
	case meta.EffectXattr:
		if t.xattrs[e.Ino] == nil {
			t.xattrs[e.Ino] = map[string]bool{}
		}
		t.xattrs[e.Ino][e.Name] = true
	case meta.EffectXattrGone:
		if delete(t.xattrs[e.Ino], e.Name); len(t.xattrs[e.Ino]) == 0 {
			delete(t.xattrs, e.Ino)
		}
	default:
		t.applyOther(e)
	}
}

// applyOther is for rows that are not about one file. Those that nothing here looks at
// are left out.
func (t *tables) applyOther(e *meta.Effect) {
	switch e.Kind {
	case meta.EffectRefs:
		if t.refs[e.Slice.ID] = e.Count; e.Count == 0 {
			delete(t.refs, e.Slice.ID)
		}
	case meta.EffectFreed:
		kept := *e
		kept.Slices = append([]meta.Slice(nil), e.Slices...)
		t.freed[freedKey{e.Seq, e.Time}] = kept
	case meta.EffectFreedGone:
		delete(t.freed, freedKey{e.Seq, e.Time})
	case meta.EffectOrphan:
		t.orphans[e.Ino] = orphanOf(e)
	case meta.EffectOrphanGone:
		delete(t.orphans, e.Ino)
	case meta.EffectQuota:
		t.quotas[e.Quota.Dir] = e.Quota
	case meta.EffectQuotaGone:
		delete(t.quotas, e.Ino)
	case meta.EffectNames:
		if t.names[e.Ino] == nil {
			t.names[e.Ino] = map[meta.Ino]uint32{}
		}
		t.names[e.Ino][e.Parent] = e.Count
		if e.Count == 0 {
			delete(t.names[e.Ino], e.Parent)
		}
		if len(t.names[e.Ino]) == 0 {
			delete(t.names, e.Ino)
		}
	case meta.EffectSession:
		t.sessions[e.Session] = true
	case meta.EffectSessionGone:
		delete(t.sessions, e.Session)
		delete(t.replies, e.Session)
	case meta.EffectReply:
		t.replies[e.Session] = true
	default:
	}
}

func orphanOf(e *meta.Effect) meta.Orphan {
	return meta.Orphan{UnlinkedMs: e.Time, Ino: e.Ino, Parent: e.Parent, Name: e.Name}
}

func orphanEffect(kind meta.EffectKind, o meta.Orphan) meta.Effect {
	return meta.Effect{Kind: kind, Time: o.UnlinkedMs, Ino: o.Ino, Parent: o.Parent, Name: o.Name}
}

// attr decodes an inode.
func (t *tables) attr(ino meta.Ino) (meta.Attr, bool) {
	row, ok := t.inodes[ino]
	if !ok {
		return meta.Attr{}, false
	}
	a, err := meta.DecodeInode([]byte(row))
	return a, err == nil // it was decoded before
}

// inodeEffect is an inode's row as it is.
func (t *tables) inodeEffect(ino meta.Ino) meta.Effect {
	a, _ := t.attr(ino)
	return meta.Effect{Kind: meta.EffectInode, Ino: ino, Attr: a}
}

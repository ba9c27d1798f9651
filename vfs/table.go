package vfs

import (
	"sync"
	"sync/atomic"

	"mirrorfs/meta"
)

const tableShards = 64

type counter = atomic.Uint64

// table holds the inodes in use, and remembers a number of those closed last.
type table struct {
	shards [tableShards]shard
	open   atomic.Int64 // inodes with references
}

// shard guards its part of the table and the fields refs, prev and next of the
// inodes in it.
type shard struct {
	mu     sync.RWMutex
	inodes map[meta.Ino]*inode
	// idle is a ring of inodes without references, the one closed last first.
	idle   inode
	nIdle  int
	maxOld int
}

func (t *table) init(cached int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.inodes = make(map[meta.Ino]*inode)
		s.idle.prev, s.idle.next = &s.idle, &s.idle
		s.maxOld = max(1, cached/tableShards)
	}
}

func (t *table) shard(ino meta.Ino) *shard { return &t.shards[ino%tableShards] }

// get finds an inode in use or remembered, or nil, without a reference.
func (t *table) get(ino meta.Ino) *inode {
	s := t.shard(ino)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.inodes[ino]
}

// acquire gives the inode with a reference, known or not.
func (t *table) acquire(ino meta.Ino) *inode {
	s := t.shard(ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.inodes[ino]
	if in == nil {
		in = newInode(ino)
		s.inodes[ino] = in
	}
	if in.refs == 0 {
		t.open.Add(1)
		if in.next != nil {
			in.unlink()
			s.nIdle--
		}
	}
	in.refs++
	return in
}

// release gives a reference back. The last one leaves the inode remembered.
func (t *table) release(in *inode) {
	s := t.shard(in.ino)
	s.mu.Lock()
	defer s.mu.Unlock()
	in.refs--
	if in.refs > 0 {
		return
	}
	t.open.Add(-1)
	in.prev, in.next = &s.idle, s.idle.next
	in.prev.next, in.next.prev = in, in
	s.nIdle++
	for s.nIdle > s.maxOld {
		old := s.idle.prev
		old.unlink()
		s.nIdle--
		delete(s.inodes, old.ino)
	}
}

// held lists the inodes with references, for the heartbeat.
func (t *table) held() []meta.Ino {
	var list []meta.Ino
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for ino, in := range s.inodes {
			if in.refs > 0 {
				list = append(list, ino)
			}
		}
		s.mu.RUnlock()
	}
	return list
}

func (in *inode) unlink() {
	in.prev.next, in.next.prev = in.next, in.prev
	in.prev, in.next = nil, nil
}

package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// diskIndex is the file that says which blocks a DiskCache has: fixed records,
// appended, and now and then written anew. Records carry a checksum and
// stand at multiples of their length, so a torn one hides no other. It is never
// synced: a lost record is a block to be downloaded again, and a record
// without its data is found out by the block's checksum.
type diskIndex struct {
	path string

	mu      sync.Mutex
	file    *os.File
	records int64
}

// indexRecord is one change of what the cache has, see docs/format.md, "Cache files".
type indexRecord struct {
	kind byte
	id   sliceID
	diskBlock
}

const (
	indexBlock     = 1 // the block is in the file
	indexBlockGone = 2
	indexSliceGone = 3

	indexRecordBytes = 32
	indexMagic       = "mirrorfs cache index, version 1\n" // as long as a record
	// maxIndexBytes bounds what is read at the start: 32 million blocks.
	maxIndexBytes = 1 << 30
	// indexSlack is how many records beyond twice the live ones are not worth
	// writing the index anew.
	indexSlack = 8192
)

func appendIndexRecord(b []byte, r indexRecord) []byte {
	start := len(b)
	b = append(b, r.kind, r.id.home, 0, 0)
	b = binary.BigEndian.AppendUint32(b, r.index)
	b = binary.BigEndian.AppendUint64(b, r.id.slice)
	b = binary.BigEndian.AppendUint32(b, r.at)
	b = binary.BigEndian.AppendUint32(b, r.n)
	b = binary.BigEndian.AppendUint32(b, r.sum)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli()))
}

func decodeIndexRecord(b []byte) (indexRecord, bool) {
	if len(b) < indexRecordBytes || crc32.Checksum(b[:28], castagnoli()) != binary.BigEndian.Uint32(b[28:]) {
		return indexRecord{}, false
	}
	r := indexRecord{
		kind: b[0],
		id:   sliceID{home: b[1], slice: binary.BigEndian.Uint64(b[8:])},
		diskBlock: diskBlock{
			index: binary.BigEndian.Uint32(b[4:]),
			at:    binary.BigEndian.Uint32(b[16:]),
			n:     binary.BigEndian.Uint32(b[20:]),
			sum:   binary.BigEndian.Uint32(b[24:]),
		},
	}
	switch r.kind {
	case indexBlockGone, indexSliceGone:
		return r, true
	case indexBlock:
		return r, r.n > 0 && uint64(r.at)+uint64(r.n) <= Bytes && r.index < Bytes/groupBytes
	}
	return indexRecord{}, false
}

// openIndex reads an index, telling each of its records, and leaves it open to be
// appended to. A file that is no index is begun anew.
func openIndex(path string, each func(indexRecord)) (*diskIndex, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	x := &diskIndex{path: path, file: file}
	if err := x.load(each); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return x, nil
}

func (x *diskIndex) load(each func(indexRecord)) error {
	all, err := io.ReadAll(io.LimitReader(x.file, maxIndexBytes))
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	if len(all) < len(indexMagic) || string(all[:len(indexMagic)]) != indexMagic {
		if err := x.file.Truncate(0); err != nil {
			return fmt.Errorf("begin index: %w", err)
		}
		if _, err := x.file.WriteAt([]byte(indexMagic), 0); err != nil {
			return fmt.Errorf("begin index: %w", err)
		}
		return nil
	}
	for all = all[len(indexMagic):]; len(all) >= indexRecordBytes; all = all[indexRecordBytes:] {
		if r, ok := decodeIndexRecord(all); ok {
			each(r)
		}
		x.records++
	}
	return nil
}

// append adds a record. A record that was written in part is overwritten by the next.
func (x *diskIndex) append(r indexRecord) error {
	var space [indexRecordBytes]byte
	b := appendIndexRecord(space[:0], r)
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, err := x.file.WriteAt(b, int64(len(indexMagic))+x.records*indexRecordBytes); err != nil {
		return err
	}
	x.records++
	return nil
}

// wasteful tells whether an index with that many live blocks should be written anew.
func (x *diskIndex) wasteful(live int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.records > 2*int64(live)+indexSlack
}

// compact writes the index anew with what snapshot appends, and replaces the old
// one when all is written.
func (x *diskIndex) compact(snapshot func([]byte) []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := snapshot([]byte(indexMagic))
	tmp := x.path + ".new"
	file, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync() // or a power cut may leave an empty file under the new name
	}
	if err == nil {
		err = os.Rename(tmp, x.path)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(tmp))
	}
	old := x.file
	x.file, x.records = file, int64(len(b)-len(indexMagic))/indexRecordBytes
	return old.Close()
}

func (x *diskIndex) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.file.Close()
}

// remember takes over a record of an index that is being loaded.
func (c *DiskCache) remember(r indexRecord) {
	switch r.kind {
	case indexBlock:
		e := c.entry(r.id)
		e.created = true
		c.insert(e, r.diskBlock)
		c.touch(e)
	case indexBlockGone:
		if e := c.entries[r.id]; e != nil {
			c.drop(e, r.index)
		}
	case indexSliceGone:
		if e := c.entries[r.id]; e != nil {
			c.used -= e.bytes()
			c.blocks -= len(e.blocks)
			e.unlink()
			delete(c.entries, r.id)
		}
	}
}

// snapshot appends records of all blocks, those used longest ago first.
func (c *DiskCache) snapshot(b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.recent.prev; e != &c.recent; e = e.prev {
		for i := range e.blocks {
			b = appendIndexRecord(b, indexRecord{kind: indexBlock, id: e.id, diskBlock: e.blocks[i]})
		}
	}
	return b
}

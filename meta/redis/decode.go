package redis

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mirrorfs/meta"
)

// errMalformed reports an answer of another form than our functions give.
var errMalformed = errors.New("answer of an unexpected form")

// texts reads an array of strings whose length is a multiple of n. A number becomes
// its decimal form.
func texts(reply any, n int) ([]string, error) {
	rows, ok := reply.([]any)
	if !ok || len(rows)%n != 0 {
		return nil, errMalformed
	}
	out := make([]string, len(rows))
	for i, row := range rows {
		switch row := row.(type) {
		case string:
			out[i] = row
		case int64:
			out[i] = fmt.Sprint(row)
		default:
			return nil, errMalformed
		}
	}
	return out, nil
}

// decodeNode reads an inode number and value.
func decodeNode(reply any) (meta.Node, error) {
	text, ok := reply.(string)
	if !ok || len(text) < 6 {
		return meta.Node{}, errMalformed
	}
	attr, err := decodeAttr(text[6:])
	return meta.Node{Ino: meta.Ino(uint48(text)), Attr: attr}, err
}

// pageAt is where a directory's value has its next page number, which is the server's
// business.
const pageAt = 55

func decodeAttr(value any) (meta.Attr, error) {
	text, ok := value.(string)
	if !ok {
		return meta.Attr{}, errMalformed
	}
	b := []byte(text)
	if len(b) == pageAt+4 && b[1]>>4 == 4 {
		clear(b[pageAt:])
	}
	return meta.DecodeInode(b)
}

// stateBytes is the length of the field state, see docs/format.md.
const stateBytes = 60

func decodeState(b []byte) (meta.State, error) {
	if len(b) != stateBytes {
		return meta.State{}, fmt.Errorf("state of %d bytes: want %d", len(b), stateBytes)
	}
	return meta.State{
		Position: decodePosition(string(b)),
		Chain:    string(b[12:28]),
		Role:     meta.Role(b[53]),
		Counters: meta.Counters{
			NextIno:   meta.Ino(uint48(string(b[28:]))),
			NextSlice: uint48(string(b[34:])),
			Usage:     meta.Usage{Bytes: uint64(b[40])<<48 | uint48(string(b[41:])), Inodes: uint48(string(b[47:]))},
		},
	}, nil
}

func appendState(b []byte, s *meta.State) []byte {
	b = append(appendPosition(b, s.Position), s.Chain...)
	b = append48(append48(b, uint64(s.NextIno)), s.NextSlice)
	b = append48(append(b, byte(s.Usage.Bytes>>48)), s.Usage.Bytes)
	b = append48(b, s.Usage.Inodes)
	return append(b, byte(s.Role), 0, 0, 0, 0, 0, 0)
}

func appendPosition(b []byte, p meta.Position) []byte { return append48(append48(b, p.Epoch), p.Seq) }

func decodePosition(s string) meta.Position {
	return meta.Position{Epoch: uint48(s), Seq: uint48(s[6:])}
}

func uint48(s string) uint64 {
	var b [8]byte
	copy(b[2:], s[:6])
	return binary.BigEndian.Uint64(b[:])
}

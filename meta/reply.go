package meta

import (
	"errors"
	"fmt"
)

// MaxReplyBytes bounds the part of a record that answers the client and is kept
// for a resend.
const MaxReplyBytes = 4 << 10

const replyHeaderBytes = 19

// DecodeReply reads what an engine answers to a change and keeps for a resend:
// epoch and seq (6 bytes each), the inode that the change was about (6), a flag
// that is 1 when effects are left out, then the record without its checksum.
// See docs/format.md, "Reply".
func DecodeReply(b []byte) (Result, error) {
	if len(b) < replyHeaderBytes+recordHeaderBytes {
		return Result{}, errors.New("reply is cut short")
	}
	res := Result{
		Position: Position{Epoch: uint48(b), Seq: uint48(b[6:])},
		Partial:  b[18] != 0,
	}
	head, err := decodeHeader(b[replyHeaderBytes:])
	if err != nil {
		return Result{}, fmt.Errorf("reply: %w", err)
	}
	effects, err := DecodeEffects(b[replyHeaderBytes+recordHeaderBytes:])
	if err != nil {
		return Result{}, fmt.Errorf("reply: %w", err)
	}
	res.Effects = effects
	res.Node.Ino = Ino(uint48(b[12:]))
	if attr, ok := res.Lookup(res.Node.Ino); ok {
		res.Node.Attr = attr
	}
	if head.Op == OpReserve {
		res.FirstSlice = uint64(res.Node.Ino)
		res.Node = Node{}
	}
	return res, nil
}

// AppendReply appends the reply to the change that made a record: its position,
// the inode it was about (of a reservation the first slice number), and the
// record with the effects that fit MaxReplyBytes.
func AppendReply(b []byte, at Position, about Ino, r *Record) []byte {
	start := len(b)
	b = append48(append48(append48(b, at.Epoch), at.Seq), uint64(about))
	b = appendHeader(append(b, 0), r)
	for i := range r.Effects {
		fits := len(b)
		if b = AppendEffect(b, &r.Effects[i]); len(b)-start > MaxReplyBytes {
			b = b[:fits]
			b[start+replyHeaderBytes-1] = 1
			break
		}
	}
	return b
}

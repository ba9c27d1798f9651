package redis

import (
	"encoding/binary"
	"time"

	"mirrorfs/meta"
)

// A head is what every change begins with; lua/change.lua says what for. The server
// would have to cut the parts out of one string, one by one, in its only thread.
type head struct {
	start   []byte // the beginning of the record
	session []byte // field of the session
	reply   []byte // field of the reply that its slot keeps, empty without a session
	givenUp []byte // field of a number that its slot has given up
	time    []byte // in ms, and how often the change was sent before
}

// numberBytes is the length of the change's number, which an answer begins with.
const numberBytes = 4

func newHead(op meta.Op, now time.Time, session meta.SessionID, place *slot) *head {
	start := append(make([]byte, 0, 24), 1, byte(op))
	start = binary.BigEndian.AppendUint64(start, uint64(now.UnixNano())) //nolint:gosec // signed, by its bits
	start = binary.BigEndian.AppendUint64(start, uint64(session))
	start = binary.BigEndian.AppendUint16(start, place.index)
	start = binary.BigEndian.AppendUint32(start, place.number)
	h := &head{start: start, time: append48(make([]byte, 0, 7), uint64(now.UnixMilli()))} //nolint:gosec // after 1970
	h.time = append(h.time, 0)
	h.session = append([]byte{'s'}, start[10:18]...)
	if session != 0 {
		h.reply = append([]byte{'r'}, start[10:20]...)
		h.givenUp = append([]byte{'e'}, start[10:20]...)
	}
	return h
}

// setSends notes how often the change was sent before.
func (h *head) setSends(n int) { h.time[6] = byte(min(n, 255)) }

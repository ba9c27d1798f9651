package meta

import (
	"encoding/binary"
	"errors"
)

// Archived is up to where a source's log is kept outside it, in segments in a bucket.
type Archived struct {
	Position Position `json:"position"`
	// Chain is the checksum at Position; empty when it is not known.
	Chain string `json:"chain,omitempty"`
}

// logEntryHeaderBytes is what stands before each record: position and length.
const logEntryHeaderBytes = 16

var errLogEntries = errors.New("records of a log that are cut short")

// AppendLogEntry appends an entry of the log as dumps and segments hold it: epoch I6,
// seq I6, length I4, record.
func AppendLogEntry(b []byte, e *LogEntry) []byte {
	b = append48(append48(b, e.Position.Epoch), e.Position.Seq)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(e.Raw))), e.Raw...)
}

// LogEntryBytes is how much AppendLogEntry appends.
func LogEntryBytes(e *LogEntry) int { return logEntryHeaderBytes + len(e.Raw) }

// DecodeLogEntries takes apart what AppendLogEntry made. The entries share b's memory.
func DecodeLogEntries(b []byte) ([]LogEntry, error) {
	var entries []LogEntry
	for len(b) > 0 {
		if len(b) < logEntryHeaderBytes {
			return nil, errLogEntries
		}
		e := LogEntry{Position: Position{Epoch: uint48(b), Seq: uint48(b[6:])}}
		n := int(binary.BigEndian.Uint32(b[12:]))
		if b = b[logEntryHeaderBytes:]; n > len(b) {
			return nil, errLogEntries
		}
		e.Raw, b = b[:n:n], b[n:]
		entries = append(entries, e)
	}
	return entries, nil
}

package cloud

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc64"
	"strconv"
	"sync"
)

// Upload is the body of a PUT whose bytes belong to the caller again when the
// request has ended: net/http may still read a body after it has returned, say
// when an answer came early. Give data back by End.
type Upload struct {
	mu    sync.Mutex
	data  *bytes.Reader
	ended bool
}

// NewUpload reads data until End.
func NewUpload(data []byte) *Upload { return &Upload{data: bytes.NewReader(data)} }

var errEnded = errors.New("the request of this body has ended")

// Read reads on, or fails after End.
func (u *Upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return 0, errEnded
	}
	return u.data.Read(p)
}

// Len is how many bytes are left; SDKs set Content-Length by it.
func (u *Upload) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.data.Len()
}

// Size is the number of all bytes.
func (u *Upload) Size() int64 { return u.data.Size() }

// End waits for a running Read; none touches the bytes afterwards.
func (u *Upload) End() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
}

// CheckSum compares the CRC-64/XZ (ECMA-182) that a server found for an upload, in
// decimal digits, with that of its bytes; an empty one is not compared. The bytes
// may have changed on their way when it fails.
func CheckSum(sum string, data []byte) error {
	if sum == "" {
		return nil
	}
	got, err := strconv.ParseUint(sum, 10, 64)
	if err != nil {
		return fmt.Errorf("checksum of the upload: %w", err)
	}
	if want := crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)); got != want {
		return fmt.Errorf("the server received other bytes than were sent: checksum %d, want %d", got, want)
	}
	return nil
}

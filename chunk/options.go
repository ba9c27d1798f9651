package chunk

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the limits of Blocks. The zero value works.
type Options struct {
	// BlockBytes is the size of a full block: a volume's own, fixed when it is
	// formatted. A multiple of 64 KiB up to Bytes that divides it; 0 means 4 MiB.
	BlockBytes int
	// Uploads and Downloads are the requests to the store at a time; 0 means 16.
	Uploads, Downloads int
	// BufferBytes bounds what all writers together hold in memory; 0 means 256
	// MiB. Write waits for uploads to make room.
	BufferBytes int64
	// PrefetchBytes bounds the read-ahead in flight, and so the window of one
	// reader; 0 means 64 MiB.
	PrefetchBytes int64
	// NoWriteThrough keeps what is written out of the cache. Without it, a block
	// that was uploaded enters the cache afterwards, unless more than half of
	// BufferBytes is in use.
	NoWriteThrough bool
	Logger         *slog.Logger
	Metrics        prometheus.Registerer
}

// Validate returns an error that says which option is wrong, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.BlockBytes < groupBytes || Bytes%o.BlockBytes != 0 || o.BlockBytes%groupBytes != 0:
		return fmt.Errorf("block size of %d bytes: want 64 KiB to 64 MiB, a power of two", o.BlockBytes)
	case o.Uploads < 0 || o.Downloads < 0:
		return fmt.Errorf("negative number of uploads (%d) or downloads (%d)", o.Uploads, o.Downloads)
	case o.BufferBytes < 0 || o.PrefetchBytes < 0:
		return fmt.Errorf("negative buffer size (%d bytes) or prefetch size (%d bytes)", o.BufferBytes, o.PrefetchBytes)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.BlockBytes == 0 {
		o.BlockBytes = 4 << 20
	}
	if o.Uploads == 0 {
		o.Uploads = 16
	}
	if o.Downloads == 0 {
		o.Downloads = 16
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = 256 << 20
	}
	if o.PrefetchBytes == 0 {
		o.PrefetchBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

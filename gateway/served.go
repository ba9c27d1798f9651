package gateway

import "time"

// Served is a request that was answered, as front ends tell those who count and write down.
type Served struct {
	// Operation is what was asked for, as S3 names it (GetObject, ListObjectsV2, ...); "Unknown" when
	// the request was refused before that was found out.
	Operation string
	Name      // of the object, as far as there is one
	Caller    // who signed; nobody when the signature was not looked at or was wrong
	// Remote is the client's address, Agent what it says it is. Both are as the client gives them.
	Remote, Agent string
	// RequestID is in the answer, too.
	RequestID string
	Status    int
	// Code is the error's, as S3 names it; "" is none.
	Code string
	// Received and Sent are the bytes of the bodies, Sent those that were sent. Aborted says that these
	// are less than was promised.
	Received, Sent int64
	Aborted        bool
	// Began is when the request's header was there, Took the time until the last byte of the answer was
	// with the kernel.
	Began time.Time
	Took  time.Duration
}

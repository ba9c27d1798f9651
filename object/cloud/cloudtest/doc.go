// Package cloudtest is what the fake stores of tests (object/oss/osstest,
// object/cos/costest) share: an HTTP server on loopback with buckets in memory,
// accounts, faults on demand and a clock that can be wrong. A Dialect gives it a
// vendor's headers, signature, XML and codes.
//
// It is test code: the buckets are gone when the test ends.
package cloudtest

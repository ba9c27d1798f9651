// Package osstest is a fake of Alibaba Cloud OSS for tests: an HTTP server on
// loopback that checks V4 signatures with an implementation of its own, and speaks
// the service's dialect.
//
// What it does was written from the vendor's pages, below
// https://www.alibabacloud.com/help/en/oss/, each named where it is followed. It is
// test code, and proves no more than those pages say.
package osstest

// Package costest is a fake of Tencent Cloud COS for tests: an HTTP server on
// loopback that checks signatures with an implementation of its own, and speaks
// the service's dialect.
//
// What it does was written from the vendor's pages, below
// https://www.tencentcloud.com/document/product/436/, each named by its number where
// it is followed. It is test code, and proves no more than those pages say.
package costest

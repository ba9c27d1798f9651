// Package audit writes down what a gateway did: a Log has a line of JSON for each request, Metrics
// count them.
//
// # The log
//
// One object a line, written before the next request of the same connection is read, and in one
// write, so that lines of several processes do not mix in one file:
//
//	{"time":"2026-01-02T15:04:05.678Z","id":"...","remote":"10.0.0.7:51234","key":"AKSERVE",
//	 "operation":"GetObject","bucket":"models","object":"llama/7b.bin","status":206,
//	 "received":0,"sent":67108864,"seconds":0.031,"agent":"Boto3/1.34"}
//
// Beside these a line has "error", the S3 error code, and "aborted":true when the client was gone
// before it had everything. What a client chose (object, agent) is cut off at MaxFieldBytes. The access
// key tells who signed; secrets and signatures are in no line.
//
// A log that cannot be written stops nothing: the first failure is logged, and Failures counts them.
//
// # Locks
//
// Log holds one over a write.
package audit

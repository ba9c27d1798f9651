// Package redistest gives tests a real redis-server of their own, empty, stopped
// when the test ends. A test fails, and is never skipped, when redis-server is missing.
package redistest

package redistest_test

import (
	"net"
	"strings"
	"testing"

	"mirrorfs/meta/redis/redistest"
)

func TestStart(t *testing.T) {
	if addr := redistest.Start(t, redistest.AOF()); !strings.HasPrefix(addr, "unix:///") {
		t.Errorf("got %s: want a unix address", addr)
	}
	addr := redistest.Start(t, redistest.TCP())
	conn, err := net.Dial("tcp", strings.TrimPrefix(addr, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

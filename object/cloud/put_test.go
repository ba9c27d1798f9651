package cloud_test

import (
	"errors"
	"io"
	"testing"

	"mirrorfs/object"
	"mirrorfs/object/cloud"
)

// TestUploadEnds: the bytes are the caller's again.
func TestUploadEnds(t *testing.T) {
	data := []byte("data")
	u := cloud.NewUpload(data)
	if n, err := u.Read(make([]byte, 2)); n != 2 || err != nil || u.Len() != 2 {
		t.Fatalf("%d bytes, %v, %d left", n, err, u.Len())
	}
	u.End()
	clear(data)
	if n, err := u.Read(make([]byte, 2)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after its end it gave %d bytes, %v", n, err)
	}
}

// TestCheckSum: the check value of CRC-64/XZ is the one of catalogues.
func TestCheckSum(t *testing.T) {
	for sum, fine := range map[string]bool{"11051210869376104954": true, "": true, "11051210869376104955": false, "x": false} {
		if err := cloud.CheckSum(sum, []byte("123456789")); (err == nil) != fine {
			t.Errorf("%q: %v", sum, err)
		}
	}
}

// TestListGoesOn: short pages are followed, and one that leads to itself is no
// endless loop.
func TestListGoesOn(t *testing.T) {
	pages := map[string]string{"": "a", "a": "b", "b": "c", "c": ""}
	list := func(limit int) ([]object.Info, error) {
		return cloud.List(limit, func(token string, _ int) ([]object.Info, string, error) {
			return []object.Info{{Key: token}}, pages[token], nil
		})
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 4: 4, 10: 4} {
		if found, err := list(limit); err != nil || len(found) != want {
			t.Errorf("limit %d: %v, %v", limit, found, err)
		}
	}
	pages["c"] = "c"
	if found, err := list(10); err == nil {
		t.Errorf("found %v", found)
	}
}

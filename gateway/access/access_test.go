package access_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mirrorfs/gateway/access"
)

const secret = "s3cr3t-that-nobody-prints"

func TestWhatKeysAllow(t *testing.T) {
	for _, c := range []struct {
		name    string
		key     *access.Key
		allowed func(k *access.Key) bool
		want    bool
	}{
		{"reads", access.NewKey(access.KeyOptions{Role: access.Read}), func(k *access.Key) bool { return k.Object(access.Read, "b", "a/b") }, true},
		{"read does not write", access.NewKey(access.KeyOptions{Role: access.Read}), func(k *access.Key) bool { return k.Object(access.Write, "b", "a/b") }, false},
		{"write reads", access.NewKey(access.KeyOptions{Role: access.Write}), func(k *access.Key) bool { return k.Object(access.Read, "b", "a/b") }, true},
		{"write makes no buckets", access.NewKey(access.KeyOptions{Role: access.Write}), func(k *access.Key) bool { return k.Whole(access.Admin, "b") }, false},
		{"admin makes buckets", access.NewKey(access.KeyOptions{Role: access.Admin}), func(k *access.Key) bool { return k.Whole(access.Admin, "b") }, true},
		{"admin of a prefix does not", access.NewKey(access.KeyOptions{Role: access.Admin, Prefix: "a/"}), func(k *access.Key) bool { return k.Whole(access.Admin, "b") }, false},
		{"within its prefix", access.NewKey(access.KeyOptions{Role: access.Write, Prefix: "a/"}), func(k *access.Key) bool { return k.Object(access.Write, "b", "a/b") }, true},
		{"outside its prefix", access.NewKey(access.KeyOptions{Role: access.Write, Prefix: "a/"}), func(k *access.Key) bool { return k.Object(access.Read, "b", "ab") }, false},
		{"its prefix without the slash", access.NewKey(access.KeyOptions{Role: access.Write, Prefix: "a/"}), func(k *access.Key) bool { return k.Object(access.Read, "b", "a") }, false},
		{"lists within its prefix", access.NewKey(access.KeyOptions{Role: access.Read, Prefix: "a/"}), func(k *access.Key) bool { return k.List("b", "a/c") }, true},
		{"lists no more than its prefix", access.NewKey(access.KeyOptions{Role: access.Read, Prefix: "a/"}), func(k *access.Key) bool { return k.List("b", "") }, false},
		{"its bucket", access.NewKey(access.KeyOptions{Role: access.Read, Bucket: "b"}), func(k *access.Key) bool { return k.Object(access.Read, "b", "x") }, true},
		{"another bucket", access.NewKey(access.KeyOptions{Role: access.Admin, Bucket: "b"}), func(k *access.Key) bool { return k.Object(access.Read, "c", "x") }, false},
		{"no key", nil, func(k *access.Key) bool {
			return k.Object(access.Read, "b", "x") || k.List("b", "") || k.Whole(access.Read, "b")
		}, false},
	} {
		if got := c.allowed(c.key); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFileOfKeys(t *testing.T) {
	good := `{"keys": [{"access_key": "A", "secret_key": "` + secret + `", "role": "write", "bucket": "b", "prefix": "p/", "name": "n"},
		{"anonymous": true, "role": "read", "prefix": "public/"}]}`
	keys, err := access.Parse(strings.NewReader(good))
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v %v", keys, err)
	}
	if k := keys[0]; k.Access() != "A" || k.Secret() != secret || k.Name() != "n" || !k.Object(access.Write, "b", "p/x") || k.Object(access.Admin, "b", "p/x") {
		t.Errorf("read as %v", k)
	}
	if k := keys[1]; k.Access() != "" || k.Name() != access.AnonymousName || !k.Object(access.Read, "b", "public/x") || k.Object(access.Read, "b", "x") {
		t.Errorf("read as %v", k)
	}
	pair := `"access_key": "A", "secret_key": "` + secret + `"`
	for name, text := range map[string]string{
		"no JSON":               "access=A secret=" + secret,
		"empty":                 "",
		"a secret as a number":  `{"keys": [{"access_key": "A", "secret_key": 1234567890123, "role": "read"}]}`,
		"unknown field":         `{"keys": [{` + pair + `, "role": "read", "` + secret + `": 1}]}`,
		"two values":            good + good,
		"no role":               `{"keys": [{` + pair + `}]}`,
		"unknown role":          `{"keys": [{` + pair + `, "role": "` + secret + `"}]}`,
		"short secret":          `{"keys": [{"access_key": "A", "secret_key": "s3cr3t-", "role": "read"}]}`,
		"no access key":         `{"keys": [{"secret_key": "` + secret + `", "role": "read"}]}`,
		"a slash in it":         `{"keys": [{"access_key": "A/B", "secret_key": "` + secret + `", "role": "read"}]}`,
		"anonymous that writes": `{"keys": [{"anonymous": true, "role": "write"}]}`,
		"anonymous with a key":  `{"keys": [{"anonymous": true, "role": "read", ` + pair + `}]}`,
		"too long":              good + strings.Repeat(" ", access.MaxFileBytes),
	} {
		keys, err := access.Parse(strings.NewReader(text))
		if err == nil {
			t.Errorf("%s: taken as %v", name, keys)
		} else if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "1234567890123") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

func TestKeysPrintNoSecret(t *testing.T) {
	key := access.NewKey(access.KeyOptions{Access: "A", Secret: secret, Role: access.Admin})
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", slog.Any("key", key), slog.Any("keys", fmt.Sprint([]*access.Key{key})))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb, key)
		fmt.Fprintf(&log, verb, []*access.Key{key})
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("printed: %s", log.String())
	}
}

// put replaces a file as editors and mounted secrets do.
func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func file(keys ...string) string {
	entries := make([]string, len(keys))
	for i, k := range keys {
		entries[i] = `{"access_key": "` + k + `", "secret_key": "` + secret + `", "role": "read"}`
	}
	return `{"keys": [` + strings.Join(entries, ",") + `]}`
}

func TestFileIsReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.json")
	put(t, name, file("A"))
	var log syncBuffer
	ring, err := access.New(access.Options{
		File: name, Interval: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Keys: []*access.Key{access.NewKey(access.KeyOptions{Access: "ENV", Secret: secret, Role: access.Admin})},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ring.Run(ctx) }()
	has := func(access string) bool { _, ok := ring.Find(access); return ok }
	eventually(t, "the first keys", func() bool { return has("A") && has("ENV") && !has("B") })
	put(t, name, file("A", "B"))
	eventually(t, "a key more", func() bool { return has("A") && has("B") })
	put(t, name, "{")
	eventually(t, "told that it is wrong", func() bool { return strings.Contains(log.String(), "not a file of keys") })
	if !has("A") || !has("B") || !has("ENV") {
		t.Error("a wrong file took keys away")
	}
	put(t, name, file("B"))
	eventually(t, "a key less", func() bool { return !has("A") && has("B") && has("ENV") })
	put(t, name, file("B", "B"))
	eventually(t, "told of two alike", func() bool { return strings.Contains(log.String(), "another one has") })
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "told that it is gone", func() bool { return strings.Contains(log.String(), "no such file") })
	put(t, name, file("C"))
	eventually(t, "back", func() bool { return has("C") && !has("B") })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log has a secret:\n%s", log.String())
	}
}

func TestNobodyCouldUseIt(t *testing.T) {
	if _, err := access.New(access.Options{}); !errors.Is(err, access.ErrNone) {
		t.Errorf("no key at all: %v", err)
	}
	ring, err := access.New(access.Options{AnonymousRead: true})
	if err != nil {
		t.Fatal(err)
	}
	if a := ring.Anonymous(); len(a) != 1 || !a[0].Object(access.Read, "b", "x") || a[0].Object(access.Write, "b", "x") {
		t.Errorf("anonymous: %v", a)
	}
	if _, ok := ring.Find(""); ok {
		t.Error("an empty access key is one")
	}
	if _, err := access.New(access.Options{File: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file("A", "B"))
	f.Add(`{"keys": [{"anonymous": true, "role": "read"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := access.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, k := range keys {
			if k.Access() == "" && k.Object(access.Write, "", "") {
				t.Errorf("%v writes without a signature", k)
			}
			if k.Access() != "" && len(k.Secret()) < access.MinSecretBytes {
				t.Errorf("%v has a short secret", k)
			}
		}
	})
}

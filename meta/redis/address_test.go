package redis_test

import (
	"reflect"
	"strings"
	"testing"

	"mirrorfs/meta/redis"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  redis.Address
		shown string // when it differs
	}{
		{"redis://h", redis.Address{Scheme: "redis", Hosts: []string{"h:6379"}}, "redis://h:6379"},
		{"redis://h:1/3?volume=v", redis.Address{Scheme: "redis", Hosts: []string{"h:1"}, DB: 3, Volume: "v"}, ""},
		{"redis://u:p%40ss@h:1", redis.Address{Scheme: "redis", Hosts: []string{"h:1"}, User: "u", Password: "p@ss"}, "redis://u:***@h:1"},
		{"redis://:secret@h:1", redis.Address{Scheme: "redis", Hosts: []string{"h:1"}, Password: "secret"}, "redis://:***@h:1"},
		{"redis://u@[::1]", redis.Address{Scheme: "redis", Hosts: []string{"[::1]:6379"}, User: "u"}, "redis://u@[::1]:6379"},
		{"rediss://h:1?ca=%2Fca.pem&insecure=true", redis.Address{Scheme: "rediss", Hosts: []string{"h:1"}, CA: "/ca.pem", Insecure: true}, ""},
		{"redis://h1:26379,h2:26379?master=m", redis.Address{Scheme: "redis", Hosts: []string{"h1:26379", "h2:26379"}, Master: "m"}, ""},
		{"redis://h1:1,h2:2?cluster=true", redis.Address{Scheme: "redis", Hosts: []string{"h1:1", "h2:2"}, Cluster: true}, ""},
		{"unix:///run/r.sock?db=2&volume=v", redis.Address{Scheme: "unix", Path: "/run/r.sock", DB: 2, Volume: "v"}, ""},
		{"local:/var/lib/x?volume=v", redis.Address{Scheme: "local", Path: "/var/lib/x", Volume: "v"}, ""},
		{"local:here", redis.Address{Scheme: "local", Path: "here"}, ""},
	} {
		got, err := redis.ParseAddress(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v\nwant %#v", c.text, got, c.want)
		}
		if c.shown == "" {
			c.shown = c.text
		}
		if got.String() != c.shown {
			t.Errorf("%s is shown as %s: want %s", c.text, got, c.shown)
		}
		if again, err := redis.ParseAddress(got.String()); err != nil || got.Password == "" && !reflect.DeepEqual(again, got) {
			t.Errorf("%s is shown as %s, which means %#v (%v)", c.text, got, again, err)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, text := range []string{
		"", "host:6379", "http://h", "redis:h", "redis://", "redis://h/x", "redis://h,g", "redis://h?x=1", "redis://h?cluster=maybe",
		"redis://h/1?cluster=true", "redis://h?master=m&cluster=true", "redis://h?insecure=true", "unix://", "local:", "local:/x?master=m",
		"redis://u:%zz@h", "redis://h?%zz", "unix:///s?db=-1",
	} {
		if a, err := redis.ParseAddress(text); err == nil {
			t.Errorf("%s was understood as %#v", text, a)
		}
	}
}

// The password is in no error and in no text.
func TestPasswordIsNeverShown(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		"redis://:" + secret + "@h?x=1", "redis://u:" + secret + "@h,g", "redis://u:" + secret + "@h/x", "redis://u:" + secret + "@h/1?cluster=true",
		"redis://u:" + secret + "%zz@h", "redis://u:" + secret + "@", "redis://h?volume=" + secret + "%zz",
	} {
		_, err := redis.ParseAddress(text)
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(redis.Redact(text), secret) {
			t.Errorf("%s: %v, %s", text, err, redis.Redact(text))
		}
	}
	if got := redis.Redact("redis://u:" + secret + "@h:1/2"); got != "redis://u:***@h:1/2" {
		t.Errorf("redacted to %s", got)
	}
	_, err := redis.Open(t.Context(), "redis://u:"+secret+"@127.0.0.1:1", redis.Options{ChangeTimeout: 1, CallTimeout: 1})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("opening what does not answer: %v", err)
	}
}

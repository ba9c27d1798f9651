package gateway

import (
	"strings"
	"time"
)

// read says whether an object that is there may be given, in the order of RFC 9110, 13.2.2.
func (c *Conditions) read(etag string, modified time.Time) error {
	modified = modified.Truncate(time.Second) // as clients were told
	switch {
	case c.IfMatch != nil:
		if !matches(*c.IfMatch, etag) {
			return refuse(PreconditionFailed)
		}
	case c.IfUnmodifiedSince != nil && modified.After(*c.IfUnmodifiedSince):
		return refuse(PreconditionFailed)
	}
	switch {
	case c.IfNoneMatch != nil:
		if matches(*c.IfNoneMatch, etag) {
			return refuse(NotModified)
		}
	case c.IfModifiedSince != nil && !modified.After(*c.IfModifiedSince):
		return refuse(NotModified)
	}
	return nil
}

// source is read for the source of a copy, where nothing is NotModified.
func (c *Conditions) source(etag string, modified time.Time) error {
	err := c.read(etag, modified)
	if KindOf(err) == NotModified {
		return refuse(PreconditionFailed)
	}
	return err
}

// none reports whether nothing is asked of what is there before a write.
func (c *Conditions) none() bool { return c.IfMatch == nil && c.IfNoneMatch == nil }

// write says whether an object may be made. etag is empty when there is none.
func (c *Conditions) write(etag string) error {
	switch {
	case c.IfMatch != nil && c.IfNoneMatch != nil:
		return refusef(NotImplemented, "If-Match and If-None-Match together")
	case c.IfNoneMatch != nil && strings.Trim(*c.IfNoneMatch, `" `) != "*":
		return refusef(NotImplemented, "If-None-Match of a write is \"*\"")
	case c.IfNoneMatch != nil && etag != "":
		return refuse(PreconditionFailed)
	case c.IfMatch != nil && etag == "":
		return refuse(NoSuchKey)
	case c.IfMatch != nil && !matches(*c.IfMatch, etag):
		return refuse(PreconditionFailed)
	}
	return nil
}

// matches reports whether an ETag is in a list of them, or the list is "*".
func matches(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.Trim(strings.TrimPrefix(strings.TrimSpace(one), "W/"), `"`)
		if one == "*" || one == etag {
			return true
		}
	}
	return false
}

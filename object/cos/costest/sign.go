package costest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the vendor's choice
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mirrorfs/object/cloud/cloudtest"
)

// The signature is that of 7778.

const (
	algorithm = "sha1"
	maxSkew   = 15 * time.Minute
)

// fields are those of the Authorization header, whose values are not encoded.
func fields(header string) map[string]string {
	found := make(map[string]string)
	for field := range strings.SplitSeq(header, "&") {
		name, value, _ := strings.Cut(field, "=")
		found[name] = value
	}
	return found
}

func denied(code, message string) *cloudtest.Fault {
	return &cloudtest.Fault{Status: http.StatusForbidden, Code: code, Message: message}
}

func signer(r *http.Request) (string, *cloudtest.Fault) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", denied("AccessDenied", "Access Denied.")
	}
	f := fields(header)
	if f["q-sign-algorithm"] != algorithm || f["q-ak"] == "" {
		return "", denied("AccessDenied", "The Authorization header is malformed.")
	}
	return f["q-ak"], nil
}

func verify(r *http.Request, secret string, now time.Time) *cloudtest.Fault {
	f := fields(r.Header.Get("Authorization"))
	from, to, ok := period(f["q-sign-time"])
	switch {
	case !ok || f["q-key-time"] != f["q-sign-time"]:
		return denied("AccessDenied", "The time of the signature is malformed.")
	case now.After(to):
		return denied("AccessDenied", "Request has expired")
	case from.Sub(now) > maxSkew:
		return denied("RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.")
	case !slices.Contains(strings.Split(f["q-header-list"], ";"), "host"),
		!hmac.Equal([]byte(signature(r, secret)), []byte(f["q-signature"])):
		return denied("SignatureDoesNotMatch", "The Signature you specified is invalid.")
	}
	return nil
}

// period reads start;end, in seconds since 1970.
func period(text string) (from, to time.Time, ok bool) {
	first, last, _ := strings.Cut(text, ";")
	start, err := strconv.ParseInt(first, 10, 64)
	end, endErr := strconv.ParseInt(last, 10, 64)
	return time.Unix(start, 0), time.Unix(end, 0), err == nil && endErr == nil
}

// signature is the one that a request should have by its Authorization header.
func signature(r *http.Request, secret string) string {
	f := fields(r.Header.Get("Authorization"))
	hashed := sha1.Sum([]byte(httpString(r, f))) //nolint:gosec // the vendor's choice
	text := algorithm + "\n" + f["q-sign-time"] + "\n" + hex.EncodeToString(hashed[:]) + "\n"
	// The key of the second is the first in hexadecimal digits, not its bytes.
	return digest(digest(secret, f["q-key-time"]), text)
}

func digest(key, text string) string {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// httpString is the request as it is signed: with its path decoded, and those
// parameters and headers that the lists name.
func httpString(r *http.Request, f map[string]string) string {
	q := r.URL.Query()
	parameters := signed(f["q-url-param-list"], func(name string) string {
		for have, values := range q {
			if strings.ToLower(escape(have)) == name {
				return values[0]
			}
		}
		return ""
	})
	headers := signed(f["q-header-list"], func(name string) string {
		switch name {
		case "host":
			return r.Host
		case "content-length":
			return strconv.FormatInt(r.ContentLength, 10)
		}
		return r.Header.Get(name)
	})
	return strings.Join([]string{strings.ToLower(r.Method), r.URL.Path, parameters, headers, ""}, "\n")
}

// signed joins the names of a list with their values.
func signed(list string, value func(name string) string) string {
	if list == "" {
		return ""
	}
	pairs := strings.Split(list, ";")
	for i, name := range pairs {
		pairs[i] = name + "=" + escape(value(name))
	}
	return strings.Join(pairs, "&")
}

// escape is the vendor's UrlEncode: letters, digits and -_.~ stay as they are.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

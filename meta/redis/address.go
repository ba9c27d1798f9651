package redis

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Address says where a volume's metadata is. Forms:
//
//	redis://[user[:password]@]host[:port][/db][?volume=NAME]
//	rediss://...                      the same over TLS; ?ca=FILE, ?insecure=true
//	redis://h1:26379,h2:26379?master=NAME      Sentinel
//	redis://h1,h2?cluster=true                 Cluster
//	unix:///path/of/socket[?db=N][&volume=NAME]
//	local:DIR[?volume=NAME]           a private server in a directory
type Address struct {
	Scheme   string // redis, rediss, unix or local
	Hosts    []string
	Path     string // of the socket, or the directory
	User     string
	Password string
	DB       int
	Volume   string // empty: the only one there
	Master   string // Sentinel's name of the server
	Cluster  bool
	CA       string // file of certificates to trust
	Insecure bool   // do not check the server's certificate
}

const defaultPort = "6379"

// ParseAddress reads an address. Its errors do not repeat the password.
func ParseAddress(s string) (Address, error) {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return Address{}, errors.New("metadata address: want redis://host:port, rediss://, unix:///socket or local:DIR")
	}
	a := Address{Scheme: scheme}
	path, query, _ := strings.Cut(rest, "?")
	var err error
	switch scheme {
	case "local":
		a.Path = path
	case "unix":
		a.Path = strings.TrimPrefix(path, "//")
	case "redis", "rediss":
		err = a.parseHosts(path)
	default:
		return Address{}, fmt.Errorf("metadata address: unknown scheme %q: want redis, rediss, unix or local", scheme)
	}
	if err == nil {
		err = a.parseQuery(query)
	}
	if err == nil {
		err = a.validate()
	}
	if err != nil {
		return Address{}, fmt.Errorf("metadata address %s: %w", a.String(), err)
	}
	return a, nil
}

// parseHosts reads //user:password@host:port,host:port/db.
func (a *Address) parseHosts(s string) error {
	s, ok := strings.CutPrefix(s, "//")
	if !ok {
		return fmt.Errorf("want %s://host:port", a.Scheme)
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user, password, _ := strings.Cut(s[:at], ":")
		var err1, err2 error
		a.User, err1 = url.PathUnescape(user)
		a.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errors.New("user or password has a bad escape (% must be written %25)")
		}
		s = s[at+1:]
	}
	hosts, db, _ := strings.Cut(s, "/")
	if db != "" {
		n, err := strconv.ParseUint(db, 10, 16)
		if err != nil {
			return fmt.Errorf("database %q: want a number", db)
		}
		a.DB = int(n)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return errors.New("a host is missing")
		}
		if i := strings.LastIndexByte(host, ':'); i < 0 || strings.HasSuffix(host, "]") {
			host += ":" + defaultPort
		}
		a.Hosts = append(a.Hosts, host)
	}
	return nil
}

func (a *Address) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the part after ? is not name=value")
	}
	for name := range values {
		value := values.Get(name)
		switch name {
		case "volume":
			a.Volume = value
		case "master":
			a.Master = value
		case "ca":
			a.CA = value
		case "cluster":
			a.Cluster, err = strconv.ParseBool(value)
		case "insecure":
			a.Insecure, err = strconv.ParseBool(value)
		case "db":
			a.DB, err = strconv.Atoi(value)
		default:
			return fmt.Errorf("unknown parameter %q: want volume, db, master, cluster, ca or insecure", name)
		}
		if err != nil {
			return fmt.Errorf("parameter %s=%s is not understood", name, value)
		}
	}
	return nil
}

func (a *Address) validate() error {
	remote := a.Scheme == "redis" || a.Scheme == "rediss"
	switch {
	case !remote && a.Path == "":
		return errors.New("the path is missing")
	case !remote && (a.Master != "" || a.Cluster):
		return errors.New("master and cluster need redis:// or rediss://")
	case a.Master != "" && a.Cluster:
		return errors.New("master (Sentinel) and cluster exclude each other")
	case len(a.Hosts) > 1 && a.Master == "" && !a.Cluster:
		return errors.New("several hosts need ?master=NAME (Sentinel) or ?cluster=true")
	case a.Cluster && a.DB != 0:
		return errors.New("a cluster has database 0 only")
	case a.Scheme != "rediss" && (a.CA != "" || a.Insecure):
		return errors.New("ca and insecure need rediss://")
	case a.DB < 0:
		return errors.New("the database is a number from 0 on")
	}
	return nil
}

// String writes the address without its password, for people and logs.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString(a.Scheme + ":")
	switch a.Scheme {
	case "redis", "rediss":
		b.WriteString("//")
		if a.User != "" || a.Password != "" {
			b.WriteString(url.PathEscape(a.User))
			if a.Password != "" {
				b.WriteString(":***")
			}
			b.WriteString("@")
		}
		b.WriteString(strings.Join(a.Hosts, ","))
		if a.DB != 0 {
			b.WriteString("/" + strconv.Itoa(a.DB))
		}
	case "unix":
		b.WriteString("//" + a.Path)
	default:
		b.WriteString(a.Path)
	}
	if q := a.query(); len(q) > 0 {
		b.WriteString("?" + q.Encode())
	}
	return b.String()
}

func (a *Address) query() url.Values {
	q := url.Values{}
	set := func(name, value string, when bool) {
		if when {
			q.Set(name, value)
		}
	}
	set("volume", a.Volume, a.Volume != "")
	set("master", a.Master, a.Master != "")
	set("ca", a.CA, a.CA != "")
	set("cluster", "true", a.Cluster)
	set("insecure", "true", a.Insecure)
	set("db", strconv.Itoa(a.DB), a.DB != 0 && a.Scheme == "unix" || a.DB != 0 && a.Scheme == "local")
	return q
}

// Redact writes an address without its password; of one that is not understood only
// the scheme.
func Redact(address string) string {
	a, err := ParseAddress(address)
	if err != nil {
		scheme, _, _ := strings.Cut(address, ":")
		return scheme + ":..."
	}
	return a.String()
}

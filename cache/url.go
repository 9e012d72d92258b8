package cache

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// deployment is how Redis is run.
type deployment int

const (
	single deployment = iota
	sentinel
	cluster
)

// address is a URL taken apart. It has secrets: print its String, never the struct.
type address struct {
	deployment       deployment
	secure           bool
	hosts            []string // host:port
	user, password   string
	master           string // Sentinel's name for the servers
	db               int
	sentinelUser     string
	sentinelPassword string
	files            tlsFiles
}

// tlsFiles are the TLS options of a URL: file names in PEM, and how the server is checked.
type tlsFiles struct {
	ca, cert, key string
	serverName    string
	skipVerify    bool
}

// schemes are the deployments by scheme; a leading rediss stands for TLS.
var schemes = map[string]deployment{"redis": single, "redis+sentinel": sentinel, "redis+cluster": cluster}

// String is the URL without user, password and options.
func (a *address) String() string {
	scheme := "redis"
	if a.secure {
		scheme = "rediss"
	}
	hosts := strings.Join(a.hosts, ",")
	switch a.deployment {
	case sentinel:
		return scheme + "+sentinel://" + hosts + "/" + a.master
	case cluster:
		return scheme + "+cluster://" + hosts
	case single:
	}
	return scheme + "://" + hosts + "/" + strconv.Itoa(a.db)
}

// parseURL takes a URL apart. Its errors quote nothing that could be a secret.
func parseURL(text string) (*address, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	a := new(address)
	plain, secure := strings.CutPrefix(scheme, "rediss")
	if secure {
		a.secure, scheme = true, "redis"+plain
	}
	var ok bool
	if a.deployment, ok = schemes[scheme]; !ok {
		return nil, errors.New("a Redis URL begins with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if err := a.setUser(authority[:i]); err != nil {
			return nil, err
		}
		authority = authority[i+1:]
	}
	if strings.ContainsAny(path+query+authority, "@#") {
		return nil, errors.New("user and password of a Redis URL must be percent-encoded where they have one of : / ? # @ %")
	}
	if err := a.setHosts(authority); err != nil {
		return nil, err
	}
	if err := a.setPath(path); err != nil {
		return nil, err
	}
	return a, a.setOptions(query)
}

func (a *address) setUser(info string) error {
	user, password, _ := strings.Cut(info, ":")
	var bad [2]error
	a.user, bad[0] = url.PathUnescape(user)
	a.password, bad[1] = url.PathUnescape(password)
	if bad != [2]error{} || strings.Count(info, ":") > 1 {
		return errors.New("user and password of a Redis URL must be percent-encoded where they have one of : / ? # @ %")
	}
	return nil
}

func (a *address) setHosts(list string) error {
	port := "6379"
	if a.deployment == sentinel {
		port = "26379"
	}
	for _, host := range strings.Split(list, ",") {
		if host == "" {
			return errors.New("a Redis URL names a host: host:port, or several with commas between for Sentinel and Cluster")
		}
		if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		name, number, err := net.SplitHostPort(host)
		if n, bad := strconv.ParseUint(number, 10, 16); err != nil || bad != nil || n == 0 || name == "" {
			return fmt.Errorf("%q in a Redis URL is not host:port", host)
		}
		a.hosts = append(a.hosts, host)
	}
	if a.deployment == single && len(a.hosts) > 1 {
		return errors.New("a Redis URL with several hosts is redis+sentinel:// or redis+cluster://")
	}
	return nil
}

func (a *address) setPath(path string) (err error) {
	path = strings.TrimSuffix(path, "/")
	switch a.deployment {
	case sentinel:
		if a.master, err = url.PathUnescape(path); err != nil || a.master == "" {
			return errors.New("a Sentinel URL ends with the name that the Sentinels know the master by: redis+sentinel://host:port/name")
		}
	case cluster:
		if path != "" && path != "0" {
			return errors.New("Redis Cluster has no databases: a cluster URL ends after the hosts")
		}
	case single:
		return a.setDB(path)
	}
	return nil
}

func (a *address) setDB(number string) (err error) {
	if number == "" {
		return nil
	}
	if a.db, err = strconv.Atoi(number); err != nil || a.db < 0 {
		return errors.New("the database of a Redis URL is a number from 0: redis://host:port/0")
	}
	return nil
}

// urlOptions are the options by name, with where they may stand.
var urlOptions = []struct {
	name string
	fits func(*address) bool
	set  func(*address, string) error
}{
	{"db", isSentinel, (*address).setDB},
	{"sentinel_username", isSentinel, func(a *address, v string) error { a.sentinelUser = v; return nil }},
	{"sentinel_password", isSentinel, func(a *address, v string) error { a.sentinelPassword = v; return nil }},
	{"ca", isSecure, func(a *address, v string) error { a.files.ca = v; return nil }},
	{"cert", isSecure, func(a *address, v string) error { a.files.cert = v; return nil }},
	{"key", isSecure, func(a *address, v string) error { a.files.key = v; return nil }},
	{"server_name", isSecure, func(a *address, v string) error { a.files.serverName = v; return nil }},
	{"skip_verify", isSecure, (*address).setSkipVerify},
}

func isSentinel(a *address) bool { return a.deployment == sentinel }
func isSecure(a *address) bool   { return a.secure }

func (a *address) setSkipVerify(value string) (err error) {
	if a.files.skipVerify, err = strconv.ParseBool(value); err != nil {
		return errors.New("skip_verify of a Redis URL is true or false")
	}
	return nil
}

func (a *address) setOptions(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options of a Redis URL are name=value with & between, percent-encoded")
	}
	known := 0
	for _, option := range urlOptions {
		v, ok := values[option.name]
		if !ok {
			continue
		}
		known++
		if !option.fits(a) {
			return fmt.Errorf("option %s has no place in this Redis URL: db and sentinel_… go with +sentinel, the others with rediss", option.name)
		}
		if len(v) > 1 {
			return fmt.Errorf("option %s stands twice in the Redis URL", option.name)
		}
		if err := option.set(a, v[0]); err != nil {
			return err
		}
	}
	if known < len(values) {
		return fmt.Errorf("the Redis URL has an option that is none of %s", optionNames())
	}
	if (a.files.cert == "") != (a.files.key == "") {
		return errors.New("cert and key of a Redis URL go together")
	}
	return nil
}

func optionNames() string {
	var names []string
	for _, option := range urlOptions {
		names = append(names, option.name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

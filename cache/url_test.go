package cache

import (
	"reflect"
	"strings"
	"testing"
)

func TestURLs(t *testing.T) {
	for text, want := range map[string]address{
		"redis://localhost":                     {hosts: []string{"localhost:6379"}},
		"redis://localhost/":                    {hosts: []string{"localhost:6379"}},
		"redis://10.0.0.1:7000/3":               {hosts: []string{"10.0.0.1:7000"}, db: 3},
		"redis://[::1]:7000":                    {hosts: []string{"[::1]:7000"}},
		"redis://[::1]":                         {hosts: []string{"[::1]:6379"}},
		"redis://:secret@h/1":                   {hosts: []string{"h:6379"}, password: "secret", db: 1},
		"redis://on%40hand:s%2F%3Acr%25et@h":    {hosts: []string{"h:6379"}, user: "on@hand", password: "s/:cr%et"},
		"redis://u:a#b@c@h":                     {hosts: []string{"h:6379"}, user: "u", password: "a#b@c"},
		"redis://user@h":                        {hosts: []string{"h:6379"}, user: "user"},
		"rediss://h:1?ca=%2Fetc%2Fca.pem":       {secure: true, hosts: []string{"h:1"}, files: tlsFiles{ca: "/etc/ca.pem"}},
		"rediss://h:1/2?skip_verify=true":       {secure: true, hosts: []string{"h:1"}, db: 2, files: tlsFiles{skipVerify: true}},
		"rediss://h?cert=/c&key=/k":             {secure: true, hosts: []string{"h:6379"}, files: tlsFiles{cert: "/c", key: "/k"}},
		"redis+cluster://u:p@a:1,b:2,c":         {deployment: cluster, hosts: []string{"a:1", "b:2", "c:6379"}, user: "u", password: "p"},
		"rediss+cluster://a/?server_name=redis": {deployment: cluster, secure: true, hosts: []string{"a:6379"}, files: tlsFiles{serverName: "redis"}},
		"redis+sentinel://a,b:2/main":           {deployment: sentinel, hosts: []string{"a:26379", "b:2"}, master: "main"},
		"rediss+sentinel://u:p@a/main?db=4&sentinel_username=s&sentinel_password=t%26": {deployment: sentinel, secure: true, hosts: []string{"a:26379"},
			master: "main", user: "u", password: "p", db: 4, sentinelUser: "s", sentinelPassword: "t&"},
	} {
		got, err := parseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", text, *got, want)
		}
	}
}

// TestBadURLs: each says what is wrong, and none says the password.
func TestBadURLs(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "begins with",
		"localhost:6379":                    "begins with",
		"http://u:hunter2@h":                "begins with",
		"redisss://h":                       "begins with",
		"redis+rediss://h":                  "begins with",
		"redis://":                          "names a host",
		"redis://u:hunter2@":                "names a host",
		"redis+cluster://a,,b":              "names a host",
		"redis://u:hunter2@h:0":             "not host:port",
		"redis://h:99999":                   "not host:port",
		"redis://h:port":                    "not host:port",
		"redis://::1":                       "not host:port",
		"redis://a:1,b:2":                   "several hosts",
		"redis://h/main":                    "is a number from 0",
		"redis://h/-1":                      "is a number from 0",
		"redis://u:hunter2@h/1/2":           "is a number from 0",
		"redis+cluster://h/1":               "has no databases",
		"redis+sentinel://h":                "ends with the name",
		"redis+sentinel://h/":               "ends with the name",
		"redis+sentinel://h/m?db=x":         "is a number from 0",
		"redis://u:hunt/er2@h/0":            "percent-encoded",
		"redis://u:hunt?er2@h/0":            "percent-encoded",
		"redis://u:hun:ter2@h/0":            "percent-encoded",
		"redis://u:hunt%er2@h/0":            "percent-encoded",
		"redis://h?hunter2=1":               "none of",
		"redis://h?db=1":                    "no place",
		"redis://h?ca=/c":                   "no place",
		"redis+cluster://h?db=1":            "no place",
		"rediss://h?cert=/c":                "go together",
		"rediss://h?skip_verify=hunter2":    "true or false",
		"rediss://h?ca=a&ca=b":              "twice",
		"rediss://h?a=%":                    "percent-encoded",
		"redis+sentinel://h/m?sentinel_=1":  "none of",
		"redis+sentinel://u:hunter2@h:x/m":  "not host:port",
		"rediss+sentinel://u:hunter2@h/m?c": "none of",
	} {
		_, err := parseURL(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not one with %q", text, err, want)
		} else if strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "er2") {
			t.Errorf("%s: the error has the password: %v", text, err)
		}
	}
}

func TestAnAddressPrintsNoSecret(t *testing.T) {
	for text, want := range map[string]string{
		"redis://user:hunter2@h/3":                                    "redis://h:6379/3",
		"rediss://user:hunter2@h":                                     "rediss://h:6379/0",
		"rediss+cluster://user:hunter2@a,b":                           "rediss+cluster://a:6379,b:6379",
		"redis+sentinel://user:hunter2@a/m?sentinel_password=hunter3": "redis+sentinel://a:26379/m",
	} {
		a, err := parseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.String(); got != want {
			t.Errorf("%s prints as %s", text, got)
		}
	}
}

// FuzzURL puts a password at a random place of a URL: whatever becomes of it, no error has it.
func FuzzURL(f *testing.F) {
	f.Add("redis://u:", "@h/0")
	f.Add("redis+sentinel://h/m?sentinel_password=", "&db=1")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "Zq9Zq9Zq9"
		user, _, ok := strings.Cut(before, "://")
		if !ok || !strings.Contains(after, "@") || strings.Contains(before, secret) || strings.Contains(user, "@") {
			return // not a place for a password
		}
		if a, err := parseURL(before + secret + after); err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s%s%s: %v", before, secret, after, err)
			}
		} else if strings.Contains(a.String(), secret) && a.password != "" {
			t.Errorf("%s%s%s prints as %s", before, secret, after, a)
		}
	})
}

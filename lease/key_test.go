package lease_test

import (
	"net/netip"
	"testing"

	"github.com/overlayd/overlayd/lease"
)

func prefix(s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(s)
}

func TestKeysAreReadAndWrittenAlike(t *testing.T) {
	for _, test := range []struct{ key, v4, v6 string }{
		{"10.5.34.0-24", "10.5.34.0/24", ""},
		{"10.5.0.0-16", "10.5.0.0/16", ""},
		{"10.5.34.96-31", "10.5.34.96/31", ""},
		{"128.0.0.0-1", "128.0.0.0/1", ""},
		{"10.5.34.0-24&fc00:1:2:3::-64", "10.5.34.0/24", "fc00:1:2:3::/64"},
		{"10.5.34.0-24&fd00::8-126", "10.5.34.0/24", "fd00::8/126"},
		{"0.0.0.0-0&fc00:1:2:3::-64", "", "fc00:1:2:3::/64"},
		{"0.0.0.0-1&8000::-1", "0.0.0.0/1", "8000::/1"},
	} {
		v4, v6, err := lease.ParseKey(test.key)
		if err != nil || v4 != prefix(test.v4) || v6 != prefix(test.v6) {
			t.Errorf("ParseKey(%q) = %v, %v, %v, want %q, %q", test.key, v4, v6, err, test.v4, test.v6)
		}
		l := lease.Lease{V4: lease.Path{Subnet: prefix(test.v4)}, V6: lease.Path{Subnet: prefix(test.v6)}}
		if got := l.Key(); got != test.key {
			t.Errorf("key of %s is %q, want %q", l, got, test.key)
		}
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	for name, key := range map[string]string{
		"nothing":                    "",
		"a word":                     "config",
		"no length":                  "10.5.34.0",
		"an empty length":            "10.5.34.0-",
		"a slash for the dash":       "10.5.34.0/24",
		"a dash and a slash":         "10.5.34.0-24/1",
		"an octet of 256":            "10.5.256.0-24",
		"three octets":               "10.5.34-24",
		"five octets":                "10.5.34.0.1-24",
		"another sign for the dot":   "10.5x34.0-24",
		"a leading zero":             "10.05.34.0-24",
		"a leading zero in length":   "10.5.34.0-024",
		"a sign in the length":       "10.5.34.0-+24",
		"a length of 32":             "10.5.34.0-32",
		"a length of 33":             "10.5.34.0-33",
		"host bits":                  "10.5.34.1-24",
		"text before":                "subnet-10.5.34.0-24",
		"a slash before":             "/10.5.34.0-24",
		"text behind":                "10.5.34.0-24x",
		"a line break behind":        "10.5.34.0-24\n",
		"an empty IPv6 subnet":       "10.5.34.0-24&",
		"an IPv6 length of 128":      "10.5.34.0-24&fc00::-128",
		"an IPv6 length of 0":        "10.5.34.0-24&::-0",
		"IPv6 host bits":             "10.5.34.0-24&fc00::1-64",
		"upper case":                 "10.5.34.0-24&FC00::-64",
		"another spelling of zeros":  "10.5.34.0-24&fc00:0::-64",
		"an IPv4 address in IPv6":    "10.5.34.0-24&::ffff:1.2.3.0-120",
		"IPv4 twice":                 "10.5.34.0-24&10.5.35.0-24",
		"IPv6 first":                 "fc00::-64",
		"IPv6 twice":                 "fc00:1::-64&fc00::-64",
		"a zone":                     "10.5.34.0-24&fe80::%eth0-64",
		"no family":                  "0.0.0.0-0",
		"a shell command":            "$(reboot)",
		"a shell command behind":     "10.5.34.0-24;reboot",
		"another form of no IPv4":    "0.0.0.0-00&fc00::-64",
		"three subnets":              "10.5.34.0-24&fc00::-64&fc00:1::-64",
		"a length of all IPv4 space": "10.0.0.0-0",
	} {
		if v4, v6, err := lease.ParseKey(key); err == nil {
			t.Errorf("%s: ParseKey(%q) = %v, %v, want an error", name, key, v4, v6)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("10.5.34.0-24")
	f.Add("10.5.34.0-24&fc00:1:2:3::-64")
	f.Add("0.0.0.0-0&fc00::-64")
	f.Fuzz(func(t *testing.T, key string) {
		v4, v6, err := lease.ParseKey(key)
		if err != nil {
			return
		}
		l := lease.Lease{V4: lease.Path{Subnet: v4}, V6: lease.Path{Subnet: v6}}
		if got := l.Key(); got != key {
			t.Errorf("%q is read as %s, whose key is %q", key, l, got)
		}
	})
}

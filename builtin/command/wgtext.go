package command

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// resolve finds the first address of a host.
func resolve(ctx context.Context, host string) (netip.Addr, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return ips[0].Unmap(), nil
}

// ago says how long something is past, as wg does.
func ago(d time.Duration) string {
	if d < time.Second {
		return "Now"
	}
	return durationText(d) + " ago"
}

// durationText is a duration of at least a second in years of 365 days, days, hours, minutes and seconds.
func durationText(d time.Duration) string {
	left := int64(d / time.Second)
	var parts []string
	for _, unit := range [...]struct {
		name    string
		seconds int64
	}{{"year", 365 * 86400}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := left / unit.seconds
		left %= unit.seconds
		switch {
		case n == 1:
			parts = append(parts, "1 "+unit.name)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, unit.name))
		}
	}
	return strings.Join(parts, ", ")
}

// sizeText is a number of bytes in the greatest unit that leaves at least one.
func sizeText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), ""
	for _, unit = range [...]string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= 1024; value < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.2f %s", value, unit)
}

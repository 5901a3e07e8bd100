package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func showAddrs(l *line) action {
	name := shownName(l)
	as, family := l.layout, l.family
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		if _, err := shownLink(ctx, c, name); err != nil {
			return err
		}
		links, err := list(ctx, c, kernel.Link{Name: name})
		if err != nil {
			return err
		}
		addrs, err := list(ctx, c, kernel.Addr{Dev: name, Prefix: anyOf(family)})
		for _, link := range links {
			own := slices.DeleteFunc(slices.Clone(addrs), func(a kernel.Addr) bool { return a.Dev != link.Name })
			if slices.ContainsFunc(own, func(a kernel.Addr) bool { return a.Other }) {
				return unknown(link.Name)
			}
			if link.Group != 0 && !as.oneLine && !as.brief {
				return unknown("group")
			}
			if family == 0 || len(own) > 0 {
				printAddrs(w, link, own, as, family, name)
			}
		}
		return err
	})
}

// printAddrs prints one link with its addresses. Asked for one family, ip leaves out the link layer.
func printAddrs(w io.Writer, link kernel.Link, own []kernel.Addr, as layout, family int, name string) {
	switch {
	case as.brief:
		fmt.Fprintf(w, "%-16s %-14s ", shownAs(link), strings.ToUpper(link.Operstate))
		for _, a := range own {
			fmt.Fprintf(w, "%s ", addrText(a))
		}
		fmt.Fprintln(w)
		return
	case as.oneLine:
		for _, a := range own {
			fmt.Fprintf(w, "%d: %s    ", link.Index, link.Name)
			printAddr(w, a, as)
		}
		return
	case family == 0:
		printLink(w, link, as, "")
	default:
		if family == 6 && name == "" { // the list of which the kernel tells less
			link.Qdisc, link.Master = "", ""
		}
		var text strings.Builder
		printLink(&text, link, as, "")
		first, _, _ := strings.Cut(text.String(), "\n")
		fmt.Fprintln(w, first)
	}
	for _, a := range own {
		fmt.Fprint(w, "    ")
		printAddr(w, a, as)
	}
}

// addrText is the address with its peer.
func addrText(a kernel.Addr) string {
	if a.Peer.IsValid() {
		return fmt.Sprintf("%s peer %s", a.Prefix.Addr(), a.Peer)
	}
	return a.Prefix.String()
}

func printAddr(w io.Writer, a kernel.Addr, as layout) {
	fmt.Fprintf(w, "%s %s ", familyName(familyOf(a.Prefix.Addr())), addrText(a))
	if a.Broadcast.IsValid() {
		fmt.Fprintf(w, "brd %s ", a.Broadcast)
	}
	scope := a.Scope
	if scope == "" {
		scope = "global"
	}
	fmt.Fprintf(w, "scope %s ", scope)
	for _, flag := range a.Flags {
		fmt.Fprintf(w, "%s ", flag)
	}
	label := a.Label
	if label == "" && a.Prefix.Addr().Is4() {
		label = a.Dev
	}
	preferred := lifetime(a.Preferred)
	if a.Preferred == 0 && slices.Contains(a.Flags, "deprecated") {
		preferred = "0sec"
	}
	fmt.Fprintf(w, "%s%s       valid_lft %s preferred_lft %s\n", label, as.end(), lifetime(a.Valid), preferred)
}

func lifetime(d time.Duration) string {
	if d == 0 {
		return "forever"
	}
	return fmt.Sprintf("%dsec", d/time.Second)
}

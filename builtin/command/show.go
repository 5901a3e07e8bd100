package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A layout is how a tool is asked to print.
type layout struct {
	oneLine bool // each object on a line of its own, its lines joined by backslashes
	brief   bool // in columns, the important things only
}

// end is what separates the lines of one object.
func (as layout) end() string {
	if as.oneLine {
		return "\\"
	}
	return "\n"
}

// printed runs a question whose answer is a text: nothing is printed when it fails.
func printed(question func(context.Context, *call, io.Writer) error) action {
	return action{run: func(ctx context.Context, c *call) error {
		out := bufio.NewWriterSize(c.Stdout, 1<<16)
		if err := question(ctx, c, out); err != nil {
			return err
		}
		return out.Flush()
	}}
}

// shownLink finds a link by its name, or fails as ip's listings of links and addresses do. No name is no link.
func shownLink(ctx context.Context, c *call, name string) (kernel.Link, error) {
	return namedLink(ctx, c, name, &failure{text: fmt.Sprintf("Device %q does not exist.", name), status: 1})
}

// namedLink finds a link by its name, or fails with a failure. No name is no link.
func namedLink(ctx context.Context, c *call, name string, missing *failure) (kernel.Link, error) {
	if name == "" {
		return kernel.Link{}, nil
	}
	link, err := findLink(ctx, c, name)
	if errors.Is(err, fs.ErrNotExist) {
		missing.cause = err
		return link, missing
	}
	return link, err
}

// shownName takes the name of the link that a listing is limited to, "" at the end of the line.
func shownName(l *line) string {
	if !l.more() {
		return ""
	}
	if l.take("dev") {
		return l.name()
	}
	switch l.peek() {
	case "up", "to", "scope", "label", "group", "master", "nomaster", "vrf", "type", "primary", "secondary", "temporary",
		"permanent", "dynamic", "tentative", "deprecated", "dadfailed", "mngtmpaddr", "home", "nodad", "noprefixroute":
		l.unknown() // other ways to limit it
	}
	return l.name()
}

func showLinks(l *line) action {
	name := shownName(l)
	if l.family != 0 {
		l.unknownWord(fmt.Sprintf("-%d", l.family))
	}
	as := l.layout
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		if _, err := shownLink(ctx, c, name); err != nil {
			return err
		}
		links, err := list(ctx, c, kernel.Link{Name: name})
		for _, link := range links {
			if strings.HasPrefix(link.Lower, "if") && link.Kind == "veth" { // ip also names the other namespace
				return unknown(link.Lower)
			}
			if link.Group != 0 { // whose name stands in a file of iproute2's
				return unknown("group")
			}
			printLink(w, link, as, " mode DEFAULT")
		}
		return err
	})
}

// printLink prints what "ip link" and, without the mode, "ip address" say of a link.
func printLink(w io.Writer, link kernel.Link, as layout, mode string) {
	name := shownAs(link)
	flags := "<" + strings.Join(link.Flags, ",") + ">"
	state := strings.ToUpper(link.Operstate)
	if as.brief {
		fmt.Fprintf(w, "%-16s %-14s %s %s \n", name, state, link.Address, flags)
		return
	}
	fmt.Fprintf(w, "%d: %s: %s mtu %d ", link.Index, name, flags, link.MTU)
	if link.Qdisc != "" {
		fmt.Fprintf(w, "qdisc %s ", link.Qdisc)
	}
	if link.Master != "" {
		fmt.Fprintf(w, "master %s ", link.Master)
	}
	fmt.Fprintf(w, "state %s%s ", state, mode)
	if link.Qdisc != "" {
		fmt.Fprint(w, "group default ")
	}
	if link.TxQueue != 0 {
		fmt.Fprintf(w, "qlen %d", link.TxQueue)
	}
	printLayer(w, link, as)
	fmt.Fprintln(w)
}

// shownAs is the link's name with the link below it, which ip does not name for vxlan.
func shownAs(link kernel.Link) string {
	if link.Lower == "" || link.Kind == "vxlan" {
		return link.Name
	}
	return link.Name + "@" + link.Lower
}

// printLayer prints the link layer's part, without the end of its last line.
func printLayer(w io.Writer, link kernel.Link, as layout) {
	fmt.Fprintf(w, "%s    link/%s %s", as.end(), link.Encap, link.Address)
	if link.Broadcast != "" {
		fmt.Fprintf(w, " brd %s", link.Broadcast)
	}
	if link.Alias != "" {
		fmt.Fprintf(w, "%s    alias %s", as.end(), link.Alias)
	}
}

func showNeighs(l *line) action {
	var dev, state string
	var within netip.Prefix
	for l.more() {
		switch {
		case l.twice("dev"), l.twice("nud"):
		case l.take("dev"):
			dev = l.name()
		case l.take("nud"):
			if word := l.peek(); word == "all" || word == "noarp" || word == "none" { // which are not listed here
				l.unknown()
			}
			state = orPermanent(parseState(l))
		case l.elsewhere("vrf", "nomaster", "master", "proxy", "unused", "help"), within.IsValid():
			l.unknown()
		default:
			l.take("to")
			within = l.prefix(l.family)
		}
	}
	if l.oneLine || l.brief {
		l.unknownWord("-o")
	}
	family := l.family
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		missing := &failure{text: fmt.Sprintf("Cannot find device %q", dev), status: 1}
		if _, err := namedLink(ctx, c, dev, missing); err != nil {
			return err
		}
		neighs, err := list(ctx, c, kernel.Neigh{Dev: dev})
		for _, n := range neighs {
			if fits(n.IP, family) && n.State != "noarp" && n.State != "none" &&
				(!within.IsValid() || within.Masked().Contains(n.IP)) && (state == "" || state == orPermanent(n.State)) {
				printNeigh(w, n, dev != "")
			}
		}
		return err
	})
}

func printNeigh(w io.Writer, n kernel.Neigh, oneDevice bool) {
	fmt.Fprintf(w, "%s ", n.IP)
	if !oneDevice {
		fmt.Fprintf(w, "dev %s ", n.Dev)
	}
	if n.Address != "" {
		fmt.Fprintf(w, "lladdr %s ", n.Address)
	}
	if n.Router {
		fmt.Fprint(w, "router ")
	}
	fmt.Fprintf(w, "%s \n", strings.ToUpper(orPermanent(n.State)))
}

// orPermanent is the state of an entry that says none.
func orPermanent(state string) string {
	if state == "" {
		return "permanent"
	}
	return state
}

func showFDB(l *line) action {
	var device string
	if l.more() {
		if !l.take("dev", "brport") {
			l.unknown()
		}
		device = l.name()
	}
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		missing := &failure{text: fmt.Sprintf("Cannot find device %q", device), status: statusUsage}
		if _, err := namedLink(ctx, c, device, missing); err != nil {
			return err
		}
		entries, err := list(ctx, c, kernel.FDB{Dev: device})
		for _, f := range entries {
			printFDB(w, f, device != "")
		}
		return err
	})
}

func printFDB(w io.Writer, f kernel.FDB, oneDevice bool) {
	fmt.Fprintf(w, "%s ", f.Address)
	if !oneDevice {
		fmt.Fprintf(w, "dev %s ", f.Dev)
	}
	if f.Dst.IsValid() {
		fmt.Fprintf(w, "dst %s ", f.Dst)
	}
	for _, n := range []struct {
		word  string
		value int
	}{{"vlan", f.VLAN}, {"port", f.Port}, {"vni", f.VNI}} {
		if n.value != 0 {
			fmt.Fprintf(w, "%s %d ", n.word, n.value)
		}
	}
	if f.Via != "" {
		fmt.Fprintf(w, "via %s ", f.Via)
	}
	if f.Master {
		fmt.Fprintf(w, "master %s ", f.Bridge)
	} else {
		fmt.Fprint(w, "self ")
	}
	for _, flag := range f.Flags {
		fmt.Fprintf(w, "%s ", flag)
	}
	if f.State == "dynamic" { // what bridge calls dynamic has no word in its listing
		f.State = " "
	}
	fmt.Fprintln(w, strings.TrimSpace(orPermanent(f.State)))
}

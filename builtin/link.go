package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
)

// link makes the wanted link, or makes the one of that name be as wanted, with as little trouble to packets as can be.
func (a *application) link(ctx context.Context, want kernel.Link) error {
	if err := native.CheckName(want.Name); err != nil {
		return err
	}
	list, err := a.run.List(ctx, kernel.Link{Name: want.Name})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if a.set.scopes.Owner(want) == a.scope { // it was there, and what it carried went with it
			if err := a.run.Do(ctx, kernel.Op{Verb: kernel.Del, Object: kernel.Link{Name: want.Name}}); err != nil {
				return err
			}
		}
		return a.makeLink(ctx, want)
	}
	have := list[0].(kernel.Link)
	if why := unfit(have, want); len(why) > 0 {
		a.log.Warn("link is made anew", "link", want.Name, "has", strings.Join(why, "; "))
		if err := a.run.Do(ctx, kernel.Op{Verb: kernel.Del, Object: kernel.Link{Name: want.Name}}); err != nil {
			return err
		}
		return a.makeLink(ctx, want)
	}
	if err := a.run.Adopt(want); err != nil {
		return err
	}
	change, why := changes(have, want)
	if len(why) == 0 {
		return nil
	}
	a.log.Info("link is changed", "link", want.Name, "has", strings.Join(why, "; "))
	for _, c := range change {
		if err := a.run.Do(ctx, kernel.Op{Verb: kernel.Set, Object: c}); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) makeLink(ctx context.Context, want kernel.Link) error {
	bare, rest := want, kernel.Link{Name: want.Name, Alias: want.Alias, State: want.State}
	bare.Alias, bare.State = "", kernel.Unsaid
	err := a.run.Do(ctx, kernel.Op{Verb: kernel.Add, Object: bare})
	if errors.Is(err, fs.ErrExist) {
		return a.explainTaken(ctx, want, err)
	}
	if err != nil {
		return err
	}
	return a.run.Do(ctx, kernel.Op{Verb: kernel.Set, Object: rest})
}

// explainTaken finds the link that has the VNI.
func (a *application) explainTaken(ctx context.Context, want kernel.Link, err error) error {
	list, listErr := a.run.List(ctx, kernel.Link{Kind: want.Kind})
	for _, o := range list {
		if l := o.(kernel.Link); l.VXLAN != nil && want.VXLAN != nil && l.VXLAN.ID == want.VXLAN.ID {
			err = fmt.Errorf("%w: link %s has VNI %d (choose another one, or delete the link)", err, l.Name, l.VXLAN.ID)
		}
	}
	return errors.Join(err, listErr)
}

// unfit is what is wrong with a link that no change can mend.
func unfit(have, want kernel.Link) (why []string) {
	differs := differences(&why)
	differs("kind", have.Kind, want.Kind)
	if have.Kind != want.Kind || want.VXLAN == nil {
		return why
	}
	h, w := have.VXLAN, want.VXLAN
	differs("VNI", h.ID, w.ID)
	differs("port", h.Port, w.Port)
	differs("GBP", h.GBP, w.GBP)
	if h.Remote.IsMulticast() {
		differs("group", h.Remote, "none")
	}
	for _, a := range []netip.Addr{h.Local, h.Remote} {
		if a.IsValid() {
			differs("an underlay of IPv6", a.Is6(), w.Local.Is6())
		}
	}
	differs("checksums", isOn(h.Checksum), isOn(w.Checksum))
	return why
}

// isOn is what a switch stands at that the kernel has on unless told otherwise.
func isOn(s *bool) bool { return s == nil || *s }

// said is the address, the zero one for all that say none: the kernel tells no 0.0.0.0.
func said(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// changes is what to Set, one after the other, to make the link as wanted: first the tunnel of a vxlan link, then the rest.
func changes(have, want kernel.Link) (change []kernel.Link, why []string) {
	tunnel := tunnelChanges(have, want)
	if len(tunnel) > 0 {
		v := *want.VXLAN
		if have.VXLAN.Remote.IsValid() {
			v.Remote = unspecified(have.VXLAN.Remote)
		}
		change = append(change, kernel.Link{Name: want.Name, Lower: want.Lower, VXLAN: &v})
	}
	rest := kernel.Link{Name: want.Name}
	differs := differences(&why)
	if differs("MTU", have.MTU, want.MTU) {
		rest.MTU = want.MTU
	}
	if want.Address != "" && differs("address", have.Address, want.Address) {
		rest.Address = want.Address
	}
	if differs("alias", have.Alias, want.Alias) {
		rest.Alias = want.Alias
	}
	if have.State != want.State {
		why = append(why, "it is down")
		rest.State = want.State
	}
	if len(why) > 0 {
		change = append(change, rest)
	}
	return change, append(tunnel, why...)
}

// tunnelChanges is what of a vxlan link's tunnel is not as wanted, and can be changed while packets pass.
func tunnelChanges(have, want kernel.Link) (why []string) {
	h, w := have.VXLAN, want.VXLAN
	if w == nil {
		return nil
	}
	differs := differences(&why)
	differs("underlying link", have.Lower, want.Lower)
	differs("local address", said(h.Local), said(w.Local))
	differs("remote address", said(h.Remote), said(w.Remote))
	differs("learning", h.Learning, w.Learning)
	return why
}

// unspecified is the address of the family that stands for none.
func unspecified(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// differences returns a function that compares what is with what is wanted, and tells the difference in words.
func differences(why *[]string) func(what string, have, want any) bool {
	return func(what string, have, want any) bool {
		if have == want {
			return false
		}
		*why = append(*why, fmt.Sprintf("%s %v, not %v", what, have, want))
		return true
	}
}

package main

import (
	"fmt"
	"net/netip"

	"github.com/overlayd/overlayd/internal/control"
)

// claims are what this daemon must not share with another one of the machine that has a run directory of its own.
func (s *settings) claims() ([]control.Claim, error) {
	state, err := s.stateClaim()
	if err != nil {
		return nil, err
	}
	file, err := s.fileClaim()
	if err != nil {
		return nil, err
	}
	claims := []control.Claim{state, file}
	if s.cniConf != "" {
		cni, err := control.ClaimPath("CNI config", "--cni-conf", s.cniConf)
		if err != nil {
			return nil, err
		}
		claims = append(claims, cni)
	}
	if s.firewalled() {
		claims = append(claims, s.tableClaim())
	}
	return claims, nil
}

func (s *settings) stateClaim() (control.Claim, error) {
	return control.ClaimPath("state directory", "--state-dir", s.stateDir)
}

func (s *settings) fileClaim() (control.Claim, error) {
	return control.ClaimPath("subnet file", "--subnet-file", s.subnetFile)
}

func (s *settings) tableClaim() control.Claim {
	return control.ClaimName("firewall table "+s.table, "--firewall-table")
}

// A holding is the claims that a daemon holds, by what they are of. It gives none back before its end, since a network config
// that was in use may be again.
type holding map[string]func()

// hold adds claims to the holding, all or none.
func (h holding) hold(claims ...control.Claim) error {
	var missing []control.Claim
	for _, c := range claims {
		if h[c.What] == nil {
			missing = append(missing, c)
		}
	}
	release, err := control.Hold(missing...)
	if err != nil {
		return err
	}
	for i, c := range missing {
		h[c.What] = func() {}
		if i == 0 {
			h[c.What] = release
		}
	}
	return nil
}

// holdNetwork claims what the plan's network needs for itself. The place is where its config stands.
func (h holding) holdNetwork(place string, p *plan) error {
	var claims []control.Claim
	for _, what := range p.backend.exclusive {
		claims = append(claims, control.ClaimName(what, "the keys of Backend in the network config"))
	}
	for _, network := range networks(p.network) {
		claims = append(claims, control.ClaimNetwork(network, networkKey(network)+" in the network config"))
	}
	if err := h.hold(claims...); err != nil {
		return refuse(exitConfig, fmt.Errorf("%s: %w", place, err))
	}
	return nil
}

// networkKey is the key of the network config that the network is set by.
func networkKey(network netip.Prefix) string {
	if network.Addr().Is6() {
		return "IPv6Network"
	}
	return "Network"
}

func (h holding) release() {
	for _, release := range h {
		release()
	}
}

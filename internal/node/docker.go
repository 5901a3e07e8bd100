package node

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// DockerOptions say in which form a SubnetFile becomes options of dockerd.
type DockerOptions struct {
	Individual bool   // a variable for each option
	Combined   string // the variable that holds all of them; "" for none
	Before     string // what Combined begins with
	NoIPMasq   bool   // say nothing of masquerading
}

// DockerOptions returns the options that make dockerd give its containers addresses of the node's subnets, as lines of a file
// of variables: what flannel's mk-docker-opts.sh writes, and for IPv6, which that does not know, --ipv6 and --fixed-cidr-v6.
func (s SubnetFile) DockerOptions(o DockerOptions) []byte {
	options := s.dockerOptions(o.NoIPMasq)
	var text bytes.Buffer
	all := o.Before
	for _, option := range options {
		if o.Individual {
			fmt.Fprintf(&text, "DOCKER_OPT_%s=%q\n", option.name, option.text)
		}
		all += " " + option.text
	}
	if o.Combined != "" {
		fmt.Fprintf(&text, "%s=%q\n", o.Combined, all)
	}
	return text.Bytes()
}

// An option is one of dockerd's, and the name that it has in variables.
type option struct{ name, text string }

// dockerOptions are in the order of their names, which flannel's are in.
func (s SubnetFile) dockerOptions(noIPMasq bool) (options []option) {
	for _, subnet := range s.Subnets {
		if ipv4.has(subnet.Addr()) {
			options = append(options, option{"BIP", "--bip=" + bridgeOf(subnet).String()})
		} else {
			options = append(options, option{"FIXED_CIDR_V6", "--fixed-cidr-v6=" + subnet.String()}, option{"IPV6", "--ipv6"})
		}
	}
	if !noIPMasq {
		options = append(options, option{"IPMASQ", fmt.Sprintf("--ip-masq=%t", !s.IPMasq)})
	}
	options = append(options, option{"MTU", fmt.Sprintf("--mtu=%d", s.MTU)})
	slices.SortFunc(options, func(a, b option) int { return cmp.Compare(a.name, b.name) })
	return options
}

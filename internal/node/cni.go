package node

import (
	"encoding/json"
	"net/netip"
)

// CNI returns the CNI network config, a conflist, that gives pods addresses of the node's subnets: by the standard plugins bridge,
// host-local and portmap, in the way in which flannel's own plugin has them do it. So that plugin is not needed.
func (s SubnetFile) CNI(path string) File {
	ipam := cniIPAM{Type: "host-local"}
	for _, subnet := range s.Subnets {
		ipam.Ranges = append(ipam.Ranges, []cniRange{{subnet}})
	}
	for _, network := range s.Networks {
		ipam.Routes = append(ipam.Routes, cniRoute{network})
	}
	text, err := json.MarshalIndent(cniList{
		Version: "0.4.0", Name: "overlayd", Plugins: []any{
			cniBridge{
				Type: "bridge", Bridge: "cni0", IsDefaultGateway: true, HairpinMode: true, IPMasq: !s.IPMasq, MTU: s.MTU, IPAM: ipam,
			},
			cniPortmap{Type: "portmap", Capabilities: map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		panic(err) // none of these values can fail
	}
	return File{"CNI config", path, append(text, '\n')}
}

type cniList struct {
	Version string `json:"cniVersion"`
	Name    string `json:"name"`
	Plugins []any  `json:"plugins"`
}

type cniBridge struct {
	Type             string  `json:"type"`
	Bridge           string  `json:"bridge"`
	IsDefaultGateway bool    `json:"isDefaultGateway"`
	HairpinMode      bool    `json:"hairpinMode"` // so that a pod reaches itself by a service
	IPMasq           bool    `json:"ipMasq"`
	MTU              int     `json:"mtu"`
	IPAM             cniIPAM `json:"ipam"`
}

type cniIPAM struct {
	Type   string       `json:"type"`
	Ranges [][]cniRange `json:"ranges"` // one list a family
	Routes []cniRoute   `json:"routes"`
}

type cniRange struct {
	Subnet netip.Prefix `json:"subnet"`
}

type cniRoute struct {
	Dst netip.Prefix `json:"dst"`
}

type cniPortmap struct {
	Type         string          `json:"type"`
	Capabilities map[string]bool `json:"capabilities"`
}

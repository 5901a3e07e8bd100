package vxlan

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/internal/strictjson"
)

// A Config is what the Backend object of the network config says.
type Config struct {
	VNI           int    // of the overlay
	Port          int    // UDP port of all nodes
	MTU           int    // of the underlay in bytes, 0 for that of the external interface
	GBP           bool   // carry the group policy extension
	Learning      bool   // learn from packets what the leases say already
	DirectRouting bool   // route without a tunnel to peers on the same layer-2 network
	Checksum      *bool  // whether outer IPv4 packets have a UDP checksum, nil for the kernel's choice
	Name          string // of the link over IPv4
	NameV6        string // of the link over IPv6
}

const (
	defaultPort = 8472 // Linux's, older than the standard's 4789
	highestVNI  = 1<<24 - 1
)

// Parse reads the Backend object of a config whose Type is vxlan. Keys match in any case of letters. Unknown keys and
// values out of range are refused; the error begins with line:column.
func Parse(raw json.RawMessage) (Config, error) {
	object, err := strictjson.Parse(raw)
	if err != nil {
		return Config{}, err
	}
	c := Config{VNI: 1}
	var kind string
	_, err = object.Fill([]strictjson.Key{
		{Name: "Type", Into: &kind}, {Name: "VNI", Into: &c.VNI}, {Name: "Port", Into: &c.Port}, {Name: "MTU", Into: &c.MTU},
		{Name: "GBP", Into: &c.GBP}, {Name: "Learning", Into: &c.Learning}, {Name: "DirectRouting", Into: &c.DirectRouting},
		{Name: "Checksum", Into: &c.Checksum}, {Name: "Name", Into: &c.Name},
	})
	if err != nil {
		return Config{}, err
	}
	c.Port = cmp.Or(c.Port, defaultPort)
	if c.Name == "" {
		c.Name, c.NameV6 = fmt.Sprintf("flannel.%d", c.VNI), fmt.Sprintf("flannel-v6.%d", c.VNI)
	} else {
		c.NameV6 = c.Name + "-v6"
		if err := native.CheckName(c.Name); err != nil {
			return Config{}, object.ErrorAt("Name", err)
		}
	}
	return c, cmp.Or(
		object.Within("VNI", c.VNI, 1, highestVNI),
		object.Within("Port", c.Port, 1, 65535),
		native.CheckMTU(object, c.MTU),
	)
}

// Exclusive is the links' names, and their number where their packets arrive: the kernel has one link for it.
func (c Config) Exclusive() []string {
	return []string{"link " + c.Name, "link " + c.NameV6, fmt.Sprintf("VXLAN %d at UDP port %d", c.VNI, c.Port)}
}

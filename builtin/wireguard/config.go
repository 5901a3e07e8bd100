package wireguard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/internal/strictjson"
)

// A Config is what the Backend object of the network config says.
type Config struct {
	PSK        kernel.Secret // of all nodes, zero for none
	ListenPort int           // UDP
	PortV6     int           // UDP, of the link for IPv6 when Mode is Separate
	MTU        int           // of the underlay in bytes, 0 for that of the external interface
	Mode       Mode
	Keepalive  time.Duration // whole seconds, 0 for none
	Name       string        // of the link
	NameV6     string        // of the link for IPv6 when Mode is Separate
}

// A Mode says how many links there are, and over which address family their packets go.
type Mode string

// The modes. All but Separate have one link for both families of the overlay.
const (
	Separate Mode = "separate" // a link for each family of the overlay, each over the same family
	Auto     Mode = "auto"     // over the family that most likely works
	OverIPv4 Mode = "ipv4"
	OverIPv6 Mode = "ipv6"
)

var modes = []Mode{Separate, Auto, OverIPv4, OverIPv6}

// Parse reads the Backend object of a config whose Type is wireguard. Keys match in any case of letters. Unknown keys and
// values out of range are refused; the error begins with line:column.
func Parse(raw json.RawMessage) (Config, error) {
	object, err := strictjson.Parse(raw)
	if err != nil {
		return Config{}, err
	}
	c := Config{ListenPort: 51820, PortV6: 51821}
	var kind, mode, psk string
	var seconds int
	_, err = object.Fill([]strictjson.Key{
		{Name: "Type", Into: &kind}, {Name: "PSK", Into: &psk}, {Name: "ListenPort", Into: &c.ListenPort},
		{Name: "ListenPortV6", Into: &c.PortV6}, {Name: "MTU", Into: &c.MTU}, {Name: "Mode", Into: &mode},
		{Name: "PersistentKeepaliveInterval", Into: &seconds}, {Name: "Name", Into: &c.Name},
	})
	if err != nil {
		return Config{}, err
	}
	c.Keepalive = time.Duration(seconds) * time.Second
	c.Name = cmp.Or(c.Name, "flannel-wg")
	c.NameV6 = c.Name + "-v6"
	if err := native.CheckName(c.Name); err != nil {
		return Config{}, object.ErrorAt("Name", err)
	}
	if c.Mode = Mode(cmp.Or(strings.ToLower(mode), string(Separate))); !slices.Contains(modes, c.Mode) {
		return Config{}, object.ErrorAt("Mode", fmt.Errorf("%q is not one of %s", mode, modes))
	}
	if psk != "" {
		key, err := parseKey(psk)
		if err != nil {
			return Config{}, object.ErrorAt("PSK", errors.New("it is not 32 bytes in base64, as wg genpsk prints")) // without the secret
		}
		c.PSK = kernel.Secret(key)
	}
	if c.Mode == Separate && c.ListenPort == c.PortV6 {
		return Config{}, object.ErrorAt("ListenPortV6", fmt.Errorf("%d is ListenPort too, and two links cannot share it", c.PortV6))
	}
	return c, cmp.Or(
		object.Within("ListenPort", c.ListenPort, 1, 65535),
		object.Within("ListenPortV6", c.PortV6, 1, 65535),
		object.Within("PersistentKeepaliveInterval", seconds, 0, 65535),
		native.CheckMTU(object, c.MTU),
	)
}

// Exclusive is the links' names and the ports that they listen at.
func (c Config) Exclusive() []string {
	all := []string{"link " + c.Name, fmt.Sprintf("UDP port %d", c.ListenPort)}
	if c.Mode == Separate {
		all = append(all, "link "+c.NameV6, fmt.Sprintf("UDP port %d", c.PortV6))
	}
	return all
}

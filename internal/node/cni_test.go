package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/node"
)

func TestTheCNIConfigIsOfTheStandardPlugins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.d", "10-overlayd.conflist")
	file := node.SubnetFile{
		Networks: prefixes("10.50.0.0/16", "fd00::/48"), Subnets: prefixes("10.50.7.0/24", "fd00:0:0:7::/64"), MTU: 1430, IPMasq: true,
	}.CNI(path)
	must(t, file.Write())
	mode(t, path, 0o644)
	got, err := os.ReadFile(path)
	must(t, err)
	want := `{
  "cniVersion": "0.4.0",
  "name": "overlayd",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipMasq": false,
      "mtu": 1430,
      "ipam": {
        "type": "host-local",
        "ranges": [
          [
            {
              "subnet": "10.50.7.0/24"
            }
          ],
          [
            {
              "subnet": "fd00:0:0:7::/64"
            }
          ]
        ],
        "routes": [
          {
            "dst": "10.50.0.0/16"
          },
          {
            "dst": "fd00::/48"
          }
        ]
      }
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    }
  ]
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("CNI config (-want +got):\n%s", diff)
	}
	if !file.IsThere() {
		t.Error("it does not know its own file")
	}
}

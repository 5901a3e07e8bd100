package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/lease/etcd"
)

// What a real daemon with a native backend keeps in memory for each peer, over one without peers. "make memory" measures it with
// ten thousand; here there are few, so that the way to measure stays sound.
func TestAPeersMemoryIsMeasured(t *testing.T) {
	t.Parallel()
	peers, settling := 200, time.Duration(0)
	if text := os.Getenv("OVERLAYD_PEERS"); text != "" {
		var err error
		peers, err = strconv.Atoi(text)
		must(t, err)
		settling = 45 * time.Second // the collector gives memory back to the kernel little by little
	}
	w := newWorld(t, []byte(`{"Network": "10.0.0.0/8", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}`), 1)
	n := w.Nodes()[0]
	w.up(n)
	w.awaitPeersUp(n, 0)
	idle := w.resident(n, settling/3)
	w.putPeers(peers)
	w.awaitPeersUp(n, peers)
	t.Logf("%d peers: %.2f KiB for each", peers, float64(w.resident(n, settling)-idle)/float64(peers))
}

// putPeers writes leases of nodes that are not there.
func (w *world) putPeers(peers int) {
	w.Helper()
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{w.Endpoint()}})
	must(w.T, err)
	defer client.Close()
	const together = 100 // etcd takes 128 in a transaction
	for i := 0; i < peers; i += together {
		var ops []clientv3.Op
		for j := i; j < min(i+together, peers); j++ {
			key := fmt.Sprintf("%s10.%d.%d.0-24", subnetsKey, 1+j/250, 1+j%250)
			ops = append(ops, clientv3.OpPut(key, fmt.Sprintf(`{"PublicIP": "198.19.%d.%d", "PublicIPv6": null, "BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "02:00:00:01:%02x:%02x"}}`,
				1+j/250, 1+j%250, j/256, j%256)))
		}
		_, err := client.Txn(w.ctx).Then(ops...).Commit()
		must(w.T, err)
	}
}

// resident is the least of the daemon's memory that is in the machine's within the time, in KiB.
func (w *world) resident(n *cluster.Node, within time.Duration) (least int) {
	w.Helper()
	for end := time.Now().Add(within); least == 0 || time.Now().Before(end); time.Sleep(time.Second) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
		must(w.T, err)
		_, rest, _ := strings.Cut(string(text), "VmRSS:")
		size, err := strconv.Atoi(strings.Fields(rest)[0])
		must(w.T, err)
		if least == 0 || size < least {
			least = size
		}
	}
	return least
}

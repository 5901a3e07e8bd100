package nearest

import "testing"

func TestTheLikeliestNameIsMeant(t *testing.T) {
	names := []string{"eth0", "eth10", "SubnetLen", "MTU", "a"}
	for wrong, want := range map[string]string{
		"eth1": "eth0", "eht0": "eth0", "eth100": "eth10", "subnetlan": "SubnetLen", "MUT": "MTU", "mtu": "MTU",
		"": "", "b": "", "wlan0": "", "SubnetLength": "", "ab": "a",
	} {
		if got := Of(wrong, names); got != want {
			t.Errorf("%q: got %q, want %q", wrong, got, want)
		}
	}
}

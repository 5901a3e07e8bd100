package control

import "github.com/prometheus/client_golang/prometheus"

// A Firewall is what the daemon's firewall has counted: what its rules have met, and how often it had to be repaired. It may be
// called concurrently.
type Firewall func() (rules []RuleCount, repairs int)

// A RuleCount is what one rule has met.
type RuleCount struct {
	Chain, Rule    string
	Family         string // "ipv4" or "ipv6"
	Packets, Bytes uint64
}

// SetFirewall says whom to ask for what the firewall counts. Without it there are no metrics of it.
func (s *State) SetFirewall(f Firewall) { s.metrics.registry.MustRegister(traffic{f}) }

// traffic is what a Firewall says, at the time it is asked for.
type traffic struct{ firewall Firewall }

var (
	packetsCounter = describe("overlayd_firewall_packets_total", "Packets that a rule has masqueraded or accepted; of a connection that is masqueraded, only the first.", "chain", "family", "rule")
	bytesCounter   = describe("overlayd_firewall_bytes_total", "Bytes of these packets.", "chain", "family", "rule")
	repairsCounter = describe("overlayd_firewall_repairs_total", "Times that the firewall table was not as overlayd wrote it, and was written again.")
)

// Describe is part of prometheus.Collector.
func (traffic) Describe(to chan<- *prometheus.Desc) {
	to <- packetsCounter
	to <- bytesCounter
	to <- repairsCounter
}

// Collect is part of prometheus.Collector.
func (t traffic) Collect(to chan<- prometheus.Metric) {
	rules, repairs := t.firewall()
	count := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	for _, r := range rules {
		count(packetsCounter, float64(r.Packets), r.Chain, r.Family, r.Rule)
		count(bytesCounter, float64(r.Bytes), r.Chain, r.Family, r.Rule)
	}
	count(repairsCounter, float64(repairs))
}

package control

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/overlayd/overlayd/hooks"
)

// metrics are what the daemon counts, under names as Prometheus has them. docs/metrics.md lists them.
type metrics struct {
	registry    *prometheus.Registry
	runs        *prometheus.CounterVec
	took        *prometheus.HistogramVec
	repairs     *prometheus.CounterVec
	apply       prometheus.Histogram
	convergence prometheus.Gauge
}

func newMetrics(s *State) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "overlayd_hook_runs_total", Help: "Runs of hooks, by hook, by what made them necessary and by their result.",
		}, []string{"hook", "reason", "result"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "overlayd_hook_duration_seconds", Help: "How long runs of hooks took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10), // 0.1 ms to 26 s
		}, []string{"hook"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "overlayd_repairs_total", Help: "Hooks that ran again since something was gone that they had made: the node's own, or a peer's.",
		}, []string{"scope"}),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "overlayd_peer_apply_seconds", Help: "The time from a peer's lease, new or changed, to the success of its hook.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10), // 0.5 ms to 131 s
		}),
		convergence: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "overlayd_convergence_seconds", Help: "The time from the daemon's start until hooks had run for all peers of the first complete list; 0 before.",
		}),
	}
	m.registry.MustRegister(m.runs, m.took, m.repairs, m.apply, m.convergence, gauges{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) hook(r hooks.HookRun) {
	result := "success"
	if r.Err != nil {
		result = "failure"
	}
	m.runs.WithLabelValues(string(r.Hook), string(r.Reason), result).Inc()
	m.took.WithLabelValues(string(r.Hook)).Observe(r.Took.Seconds())
	if r.Reason == hooks.Repair && r.Hook != hooks.PostStartup { // PreStartup has counted it
		scope := "peer"
		if r.Scope == hooks.NodeScope {
			scope = "node"
		}
		m.repairs.WithLabelValues(scope).Inc()
	}
}

// gauges are what a Status says, at the time it is asked for.
type gauges struct{ state *State }

var (
	infoGauge       = describe("overlayd_info", "1, with what the daemon is.", "version", "node_id", "backend")
	stateGauge      = describe("overlayd_health", "1 for the state of health that the daemon is in, 0 for the others.", "state")
	readyGauge      = describe("overlayd_ready", "Whether the node is up, and hooks have run for each peer of the first complete list.")
	peersGauge      = describe("overlayd_peers", "Peers, by state.", "state")
	etcdGauge       = describe("overlayd_etcd_up", "Whether etcd answers.")
	revisionGauge   = describe("overlayd_config_revision", "etcd's revision of the network config in use, 0 for none.")
	refusedGauge    = describe("overlayd_config_problem", "Whether a newer network config is refused, or one is waited for.")
	canaryGauge     = describe("overlayd_config_canary", "1 for how the node stands to a config of a staged roll-out, 0 for the others.", "state")
	unreadableGauge = describe("overlayd_unreadable_leases", "Keys among the leases that are none, and were set aside.")
	mtuGauge        = describe("overlayd_mtu_bytes", "The MTU of the overlay, 0 before it is known.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe is part of prometheus.Collector.
func (gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		infoGauge, stateGauge, readyGauge, peersGauge, etcdGauge, revisionGauge, refusedGauge, canaryGauge, unreadableGauge, mtuGauge,
	} {
		to <- d
	}
}

// Collect is part of prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	s, peers := g.state.outline()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(infoGauge, 1, s.Daemon.Version, s.Daemon.NodeID, s.Config.Backend)
	for _, state := range []HealthState{Starting, OK, Degraded, Stuck} {
		gauge(stateGauge, truth(s.Health.State == state), string(state))
	}
	for _, state := range peerStates {
		gauge(peersGauge, float64(peers[state]), string(state))
	}
	gauge(readyGauge, truth(s.Health.Ready))
	gauge(etcdGauge, truth(s.Etcd.Problem == ""))
	gauge(revisionGauge, float64(s.Config.Revision))
	gauge(refusedGauge, truth(s.Config.Problem != ""))
	for _, state := range []CanaryState{CanaryTrying, CanaryRunning, CanaryWentBack, CanaryRefused} {
		gauge(canaryGauge, truth(s.Config.Canary != nil && s.Config.Canary.State == state), string(state))
	}
	gauge(unreadableGauge, float64(s.Unreadable.Count))
	gauge(mtuGauge, float64(s.Node.MTU))
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// settled takes in how long after the daemon's start the node was ready.
func (m *metrics) settled(after time.Duration) { m.convergence.Set(after.Seconds()) }

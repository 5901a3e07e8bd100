package control

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"gopkg.in/yaml.v3"
)

// known are the metrics, and their labels, that the files for monitoring may speak of.
func known(t *testing.T) map[string][]string {
	t.Helper()
	families, err := observed().metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string][]string{"up": nil}
	for _, f := range families {
		names := []string{f.GetName()}
		if f.GetType().String() == "HISTOGRAM" {
			names = []string{f.GetName() + "_bucket", f.GetName() + "_count", f.GetName() + "_sum"}
		}
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
		}
		for _, name := range names {
			metrics[name] = labels
		}
	}
	return metrics
}

// checkQuery refuses a query that does not parse, or that asks for what is never there.
func checkQuery(t *testing.T, metrics map[string][]string, where, query string) {
	t.Helper()
	e, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %s: %v", where, query, err)
		return
	}
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			labels, ok := metrics[filters[0].Value]
			if !ok {
				t.Errorf("%s: %s: there is no metric %s", where, query, filters[0].Value)
			}
			for _, f := range filters[1:] {
				if f.Label != "instance" && f.Label != "job" && !slices.Contains(labels, f.Label) {
					t.Errorf("%s: %s: %s has no label %s", where, query, filters[0].Value, f.Label)
				}
			}
		}
	})
}

func TestAlertsAskForWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../../docs/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	metrics := known(t)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			checkQuery(t, metrics, r.Alert, r.Expr)
			if !strings.HasPrefix(r.Alert, "Overlayd") || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%q lacks its name, severity, summary or description", r.Alert)
			}
		}
	}
	if len(file.Groups) == 0 || len(file.Groups[0].Rules) == 0 {
		t.Error("there are no alerts")
	}
}

func TestTheDashboardAsksForWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../../docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	metrics, queries := known(t), 0
	for _, p := range file.Panels {
		for _, target := range p.Targets {
			queries++
			checkQuery(t, metrics, p.Title, strings.ReplaceAll(target.Expr, "$instance", ".*"))
		}
	}
	if queries == 0 {
		t.Error("there are no queries")
	}
}

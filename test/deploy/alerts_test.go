package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// read is a file of the repository.
func read(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rule is one of an alert.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         model.Duration    `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// alerts are the rules of deploy/prometheus. They have no keys but those of rule.
func alerts(t *testing.T) (list []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(read(t, "deploy", "prometheus", "alerts.yml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

// TestPrometheusReadsItsRules: each is an alert of a severity, its expression one that gives
// series, and its texts are templates.
func TestPrometheusReadsItsRules(t *testing.T) {
	list := alerts(t)
	if len(list) < 20 {
		t.Errorf("there are %d rules", len(list))
	}
	names := make(map[string]bool)
	for _, r := range list {
		if severity := r.Labels["severity"]; !model.LegacyValidation.IsValidLabelName(r.Alert) || names[r.Alert] || severity != "warning" && severity != "critical" {
			t.Errorf("%q: severity %q, or the name is another's", r.Alert, severity)
		}
		names[r.Alert] = true
		if e, err := parser.ParseExpr(r.Expr); err != nil || e.Type() != parser.ValueTypeVector {
			t.Errorf("%s: %s: %v", r.Alert, r.Expr, err)
		}
		for _, text := range r.Annotations {
			if _, err := template.New("").Parse("{{ $labels := .Labels }}{{ $value := .Value }}" + text); err != nil {
				t.Errorf("%s: %s: %v", r.Alert, text, err)
			}
		}
	}
	var config struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	if err := yaml.Unmarshal(read(t, "deploy", "prometheus", "prometheus.yml"), &config); err != nil || len(config.RuleFiles) != 1 || config.RuleFiles[0] != "alerts.yml" {
		t.Errorf("prometheus.yml has it read %v, %v", config.RuleFiles, err)
	}
}

// TestAlertsAndRunbooksMatch: each alert has a section and links to it, and each section
// is of an alert.
func TestAlertsAndRunbooksMatch(t *testing.T) {
	sections := make(map[string]bool)
	for _, found := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(string(read(t, "docs", "runbooks.md")), -1) {
		sections[found[1]] = true
	}
	for _, r := range alerts(t) {
		if !sections[r.Alert] {
			t.Errorf("docs/runbooks.md has no section %s", r.Alert)
		}
		delete(sections, r.Alert)
		if url := r.Annotations["runbook"]; !strings.HasSuffix(url, "docs/runbooks.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s: its runbook is %q", r.Alert, url)
		}
	}
	for name := range sections {
		t.Errorf("docs/runbooks.md tells of %s, which is no alert", name)
	}
}

// TestPrometheusReadsTheDashboardsQuestions once Grafana has put its variables in.
func TestPrometheusReadsTheDashboardsQuestions(t *testing.T) {
	var dashboard any
	if err := json.Unmarshal(read(t, "deploy", "grafana", "q.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__interval", "1m", "$__range", "1h")
	questions := expressions(dashboard, nil)
	if len(questions) < 10 {
		t.Errorf("there are %d questions", len(questions))
	}
	for _, q := range questions {
		if _, err := parser.ParseExpr(variables.Replace(q)); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// expressions appends all values of keys "expr".
func expressions(v any, list []string) []string {
	switch v := v.(type) {
	case map[string]any:
		if q, ok := v["expr"].(string); ok {
			list = append(list, q)
		}
		for _, x := range v {
			list = expressions(x, list)
		}
	case []any:
		for _, x := range v {
			list = expressions(x, list)
		}
	}
	return list
}

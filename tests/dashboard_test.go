package tests

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is an alert of docs/alerts.yml.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alerts returns the rules of docs/alerts.yml.
func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(topFile(t, "docs/alerts.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

// expressions returns every expression in docs/grafana.json.
func expressions(t *testing.T, node any) (found []string) {
	switch node := node.(type) {
	case map[string]any:
		for name, child := range node {
			if text, ok := child.(string); ok && name == "expr" {
				found = append(found, text)
			}
			found = append(found, expressions(t, child)...)
		}
	case []any:
		for _, child := range node {
			found = append(found, expressions(t, child)...)
		}
	}
	return found
}

var (
	inExpression = regexp.MustCompile(`\b((?:changebank|go|process)_\w+)(?:\{([^}]*)\})?`)
	inBraces     = regexp.MustCompile(`(\w+)(=~|=|!~|!=)"([^"]*)"`)
)

// The dashboard and the alerts ask for what the program has: each metric, each
// label, and each label's value.
func TestDashboardAndAlerts(t *testing.T) {
	t.Parallel()
	b := startBank(t, onMetrics)
	b.browserOf(t, richard).get("/nosuch")
	b.browser(t).get(qrPage + "/events") // the dashboard leaves its route out
	text := b.metrics(t)

	var dashboard struct {
		Title  string
		UID    string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ H, W, X, Y int }
		}
	}
	source := []byte(topFile(t, "docs/grafana.json"))
	if err := json.Unmarshal(source, &dashboard); err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(source, &tree); err != nil {
		t.Fatal(err)
	}
	used := expressions(t, tree)
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 || panel.Title == "" || panel.GridPos.W == 0 {
			t.Errorf("the panel %q lacks an expression, a title or a place", panel.Title)
		}
	}
	rules := alerts(t)
	if len(rules) != 5 || len(dashboard.Panels) < 8 || dashboard.Title == "" || dashboard.UID == "" {
		t.Errorf("%d alerts and %d panels", len(rules), len(dashboard.Panels))
	}
	for _, r := range rules {
		if r.For == "" || r.Annotations["summary"] == "" || !strings.HasSuffix(r.Annotations["description"], ".") {
			t.Errorf("%s does not say for how long, what happened, and what to do", r.Alert)
		}
		used = append(used, r.Expr)
	}
	for _, expr := range used {
		metrics := inExpression.FindAllStringSubmatch(expr, -1)
		if len(metrics) == 0 {
			t.Errorf("no metric of ours in %s", expr)
		}
		for _, metric := range metrics {
			if missing := missing(text, metric[1], metric[2]); missing != "" {
				t.Errorf("the program does not have %s, in %s", missing, expr)
			}
		}
	}
}

// missing returns what /metrics does not have of a metric with these labels.
func missing(text, metric, labels string) string {
	series := strings.Join(regexp.MustCompile(`(?m)^`+metric+`[{ ].*$`).FindAllString(text, -1), "\n")
	if series == "" {
		return metric
	}
	for _, label := range inBraces.FindAllStringSubmatch(labels, -1) {
		for value := range strings.SplitSeq(label[3], "|") {
			if label[2] == "=" || label[2] == "!=" {
				value = regexp.QuoteMeta(value)
			}
			if !regexp.MustCompile(`[{,]` + label[1] + `="` + value + `"`).MatchString(series) {
				return fmt.Sprintf(`%s{%s="%s"}`, metric, label[1], value)
			}
		}
	}
	return ""
}

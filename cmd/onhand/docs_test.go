package main_test

import (
	"errors"
	"fmt"
	"go/ast"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	runbook = "deploy/RUNBOOK.md"
	alerts  = "deploy/alerts.yaml"
)

// alert is a rule of deploy/alerts.yaml, as far as it must agree with other files.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func TestDeploymentFilesAreYAML(t *testing.T) {
	for _, name := range readTree(t) {
		if strings.HasPrefix(name, "deploy/") && path.Ext(name) == ".yaml" {
			for _, finding := range yamlFindings(name, readText(t, name)) {
				t.Error(finding)
			}
		}
	}
}

func TestAlertsHaveHeadingsInTheRunbook(t *testing.T) {
	for _, finding := range alertFindings(readAlerts(t), readText(t, runbook)) {
		t.Error(finding)
	}
}

func TestAlertsWatchMetricsThatExist(t *testing.T) {
	instruments := instrumentNames(readSources(t))
	if len(instruments) == 0 {
		t.Fatal(`no instrument found; their names are string constants such as "onhand.records" in processor and cmd/onhand`)
	}
	texts := map[string]string{runbook: readText(t, runbook)}
	for _, rule := range readAlerts(t) {
		texts[alerts+", "+rule.Alert] = rule.Expr
	}
	for name, text := range texts {
		for _, finding := range metricFindings(name, text, instruments) {
			t.Error(finding)
		}
	}
}

func TestRunbookAnchorsExist(t *testing.T) {
	known := anchors(readText(t, runbook))
	for _, name := range readTree(t) {
		if !slices.Contains([]string{".go", ".md", ".yaml"}, path.Ext(name)) || name == "cmd/onhand/docs_test.go" {
			continue
		}
		for _, finding := range anchorFindings(name, readText(t, name), known) {
			t.Error(finding)
		}
	}
}

func TestReasonsToStopHaveHeadingsInTheRunbook(t *testing.T) {
	headings := headingsOf(readText(t, runbook))
	for _, s := range readSources(t) {
		for _, heading := range stopHeadings(s) {
			if !slices.Contains(headings, heading) {
				t.Errorf("%s names the heading %q, which %s does not have; write what an operator does about it there", s.path, heading, runbook)
			}
		}
	}
}

func readAlerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(readText(t, alerts)), &file); err != nil {
		t.Fatalf("reading %s: %v", alerts, err)
	}
	var rules []alert
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		t.Fatalf("%s has no rules", alerts)
	}
	return rules
}

// yamlFindings says what keeps a file from being read: its syntax, or a Kubernetes object without kind or name.
func yamlFindings(name, text string) []string {
	documents := yaml.NewDecoder(strings.NewReader(text))
	var findings []string
	for {
		var document struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
			Metadata   struct {
				Name string `yaml:"name"`
			} `yaml:"metadata"`
		}
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return findings
		}
		if err != nil {
			return append(findings, fmt.Sprintf("%s: %v", name, err))
		}
		if strings.HasPrefix(name, "deploy/kubernetes/") && (document.APIVersion == "" || document.Kind == "" || document.Metadata.Name == "") {
			findings = append(findings, name+": an object without apiVersion, kind or metadata.name; kubectl would refuse it")
		}
	}
}

// alertFindings says where alerts and headings of the runbook part, and what an alert lacks for whoever it wakes.
func alertFindings(rules []alert, text string) []string {
	var findings, names []string
	headings := headingsOf(text)
	for _, rule := range rules {
		names = append(names, rule.Alert)
		add := func(format string, args ...any) {
			findings = append(findings, fmt.Sprintf("%s, %s: ", alerts, rule.Alert)+fmt.Sprintf(format, args...))
		}
		if !slices.Contains(headings, rule.Alert) {
			add("%s has no heading %q; write its quick checks there", runbook, rule.Alert)
		}
		if want := "RUNBOOK.md#" + anchor(rule.Alert); rule.Annotations["runbook"] != want {
			add("its runbook is %q; it must be %q", rule.Annotations["runbook"], want)
		}
		if !slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) {
			add("its severity is %q; say page or ticket", rule.Labels["severity"])
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			add("it has no summary or no description; say what is wrong and what follows from it")
		}
	}
	for _, heading := range headings {
		if strings.HasPrefix(heading, "Onhand") && !slices.Contains(names, heading) {
			findings = append(findings, fmt.Sprintf("%s: %q is the heading of no alert; rename it with the alert or drop it", runbook, heading))
		}
	}
	return findings
}

// stopHeadings lists the headings of the runbook that a file of the processor names, as the first argument of stopped.
func stopHeadings(s source) []string {
	if s.dir() != "processor" {
		return nil
	}
	var headings []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		name, isName := call.Fun.(*ast.Ident)
		literal, isLiteral := call.Args[0].(*ast.BasicLit)
		if isName && isLiteral && name.Name == "stopped" {
			if heading, err := strconv.Unquote(literal.Value); err == nil {
				headings = append(headings, heading)
			}
		}
		return true
	})
	return headings
}

var headingLine = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)

func headingsOf(text string) []string {
	var headings []string
	for _, match := range headingLine.FindAllStringSubmatch(text, -1) {
		headings = append(headings, match[1])
	}
	return headings
}

// anchor is the fragment that a heading is linked by: lower case, hyphens for spaces, no punctuation.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		}
		return -1
	}, strings.ToLower(heading))
}

func anchors(text string) []string {
	var known []string
	for _, heading := range headingsOf(text) {
		known = append(known, anchor(heading))
	}
	return known
}

// runbookLink matches a link to a heading of the runbook from anywhere, and one inside the runbook.
var (
	runbookLink = regexp.MustCompile(`RUNBOOK\.md#([A-Za-z0-9_-]*)`)
	innerLink   = regexp.MustCompile(`\]\(#([A-Za-z0-9_-]*)\)`)
)

// anchorFindings says which links to headings of the runbook lead nowhere.
func anchorFindings(name, text string, known []string) []string {
	links := runbookLink.FindAllStringSubmatch(text, -1)
	if name == runbook {
		links = append(links, innerLink.FindAllStringSubmatch(text, -1)...)
	}
	var findings []string
	for _, link := range links {
		if !slices.Contains(known, link[1]) {
			findings = append(findings, fmt.Sprintf("%s: %s has no heading with the anchor %q; write it, or link the one that is meant",
				name, runbook, link[1]))
		}
	}
	return findings
}

var (
	metricName     = regexp.MustCompile(`\bonhand_[a-z_]+`)
	instrumentName = regexp.MustCompile(`^onhand[._][a-z._]+$`)
	metricSuffix   = regexp.MustCompile(`^(?:_seconds|_bytes)?(?:_total|_bucket|_count|_sum)?$`)
)

// instrumentNames lists the names of instruments that stand as strings in the processor and the wiring, as Prometheus
// writes them less unit and suffix.
func instrumentNames(sources []source) []string {
	var names []string
	for _, s := range sources {
		if s.test() || s.dir() != "processor" && s.dir() != "cmd/onhand" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok {
				if name, err := strconv.Unquote(literal.Value); err == nil && instrumentName.MatchString(name) {
					names = append(names, strings.ReplaceAll(name, ".", "_"))
				}
			}
			return true
		})
	}
	return names
}

// metricFindings says which metrics a text names that no instrument makes.
func metricFindings(name, text string, instruments []string) []string {
	var findings []string
	for _, metric := range metricName.FindAllString(text, -1) {
		if !slices.ContainsFunc(instruments, func(instrument string) bool {
			rest, ok := strings.CutPrefix(metric, instrument)
			return ok && metricSuffix.MatchString(rest)
		}) {
			findings = append(findings, fmt.Sprintf("%s: no instrument makes %s; name the one that is meant", name, metric))
		}
	}
	return findings
}

func TestAlertsThatPartFromTheRunbookAreSeen(t *testing.T) {
	good := alert{Alert: "OnhandDown", Labels: map[string]string{"severity": "page"}, Annotations: map[string]string{
		"runbook": "RUNBOOK.md#onhanddown", "summary": "down", "description": "levels stand still",
	}}
	wantFindings(t, alertFindings([]alert{good}, "# Runbook\n\n### OnhandDown\n"))
	wantFindings(t, alertFindings([]alert{good}, "### OnhandDown \n\n### OnhandSlow\n"), `"OnhandSlow" is the heading of no alert`)
	wantFindings(t, alertFindings([]alert{{Alert: "OnhandUp"}}, "### Down\n"), "no heading", `must be "RUNBOOK.md#onhandup"`, "page or ticket", "no summary")
}

func TestReasonsToStopAreSeen(t *testing.T) {
	const text = `package processor; func f() error { return stopped("LogTooShort", "restore it", "at %d", 1) }`
	wantFindings(t, stopHeadings(parseSource(t, "processor/claim.go", text)), "LogTooShort")
}

func TestDeadAnchorsAreSeen(t *testing.T) {
	known := anchors("## Redis is empty, and the log too short\n### OnhandDown\n")
	wantFindings(t, anchorFindings("cache/load.go", `"see RUNBOOK.md#redis-is-empty-and-the-log-too-short"`, known))
	wantFindings(t, anchorFindings("cache/load.go", `"see RUNBOOK.md#redis" [a](#b)`, known), `anchor "redis"`)
	wantFindings(t, anchorFindings(runbook, "[a](#onhanddown), [b](#b)", known), `anchor "b"`)
}

func TestUnknownMetricsAreSeen(t *testing.T) {
	instruments := instrumentNames([]source{
		parseSource(t, "processor/observe.go", `package p; var a, b = "onhand.records", "onhand.commit.duration"`),
		parseSource(t, "topics/names.go", `package p; var a = "onhand.forwarded"`),
	})
	wantFindings(t, metricFindings("x", "onhand_records_total > onhand_commit_duration_seconds_bucket", instruments))
	wantFindings(t, metricFindings("x", "onhand_recorded_total > onhand_forwarded", instruments), "onhand_recorded_total", "onhand_forwarded")
}

func TestBrokenYAMLIsSeen(t *testing.T) {
	wantFindings(t, yamlFindings("deploy/a.yaml", "a: 1\n---\nb: [1]\n"))
	wantFindings(t, yamlFindings("deploy/a.yaml", "a: 1\n---\nb: [1\n"), "deploy/a.yaml: yaml")
	wantFindings(t, yamlFindings("deploy/kubernetes/a.yaml", "apiVersion: v1\nkind: Service\n"), "without apiVersion")
	wantFindings(t, yamlFindings("deploy/compose.yaml", "a: &a 1\nb: *c\n"), "unknown anchor")
}

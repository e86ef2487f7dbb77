package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"changebank/internal/config"
)

// The operator's page explains everything that /readyz may answer, and states
// how long a stop takes. Its links lead to sections that exist.
func TestOperationsDocs(t *testing.T) {
	t.Parallel()
	page := topFile(t, "docs/operations.md")
	answers := groups(`StatusServiceUnavailable, "(.+)\\n"\)`, topFile(t, "handlers/home.go"))
	if len(answers) < 3 {
		t.Fatalf("/readyz has the answers %q, want three or more", answers)
	}
	for _, answer := range answers {
		if !strings.Contains(page, "| `"+answer+"` |") {
			t.Errorf("the page does not explain the answer %q", answer)
		}
	}
	if want := fmt.Sprintf("within `SHUTDOWN_DELAY` + %.0f seconds", longestStop.Seconds()); !strings.Contains(page, want) {
		t.Errorf("the page does not say %q", want)
	}

	// The example of a systemd unit has settings of the program only.
	for _, name := range groups(`(?m)^Environment=([A-Z_]+)=`, topFile(t, "docs/changebank.service")) {
		if !slices.Contains(config.Names(), strings.TrimSuffix(name, "_FILE")) {
			t.Errorf("changebank.service sets %s, which is not a setting", name)
		}
	}
}

// Links between the documents lead to files and headings that exist.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]+))?\)`)
	notInAnchor := regexp.MustCompile("[^a-z0-9_ -]")
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/own-application.md", "docs/operations.md", "docs/security.md", "docs/troubleshooting.md", "docs/providers.md"} {
		for _, match := range link.FindAllStringSubmatch(topFile(t, name), -1) {
			target := filepath.Join(filepath.Dir(name), match[1])
			if match[1] == "" {
				target = name
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, match[1])
				continue
			}
			if match[2] == "" {
				continue
			}
			headings := groups(`(?m)^#+ (.+)$`, topFile(t, target))
			if !slices.ContainsFunc(headings, func(heading string) bool {
				return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-") == match[2]
			}) {
				t.Errorf("%s links to %s#%s, which is not a heading there", name, target, match[2])
			}
		}
	}
}

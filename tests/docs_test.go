package tests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The tests that docs/security.md names exist, and each mitigation has one.
func TestSecurityDocs(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test[A-Z]\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "node_modules":
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			declared[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page := topFile(t, "docs/security.md")
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(page, -1) {
		if !declared[name] {
			t.Errorf("%s does not exist", name)
		}
	}

	// A mitigation without a test must say that it is left out.
	row := regexp.MustCompile(`(?m)^\| (\d+) \| (.*)$`)
	for i, match := range row.FindAllStringSubmatch(page, -1) {
		if match[1] != strconv.Itoa(i+1) {
			t.Errorf("row %d of the mitigations is 6.1.%s", i+1, match[1])
		}
		if !strings.Contains(match[2], "Test") && !strings.Contains(match[2], "Left out") {
			t.Errorf("6.1.%s has neither a test nor a reason to leave it out", match[1])
		}
	}
	if got := len(row.FindAllString(page, -1)); got != 17 {
		t.Errorf("%d mitigations, want the seventeen of RFC 10027", got)
	}
}

// CONTRIBUTING.md has a reason for each direct dependency, and for no other.
func TestDependencies(t *testing.T) {
	t.Parallel()
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(topFile(t, "go.mod"), -1)
	_, list, _ := strings.Cut(topFile(t, "CONTRIBUTING.md"), "## Dependencies")
	list, _, _ = strings.Cut(list, "\n## ")
	for _, module := range direct {
		if !strings.Contains(list, "`"+module[1]+"`") {
			t.Errorf("no reason for %s", module[1])
		}
	}
	if listed := strings.Count(list, "`") / 2; len(direct) == 0 || listed != len(direct)+2 { // .env and docker-compose.yml
		t.Errorf("%d dependencies are listed, go.mod has %d", listed-2, len(direct))
	}
}

// The README lists each package, except those that only tests use.
func TestPackagesListed(t *testing.T) {
	t.Parallel()
	readme := topFile(t, "README.md")
	folders := make(map[string]bool)
	for _, pattern := range []string{"../*/*.go", "../internal/*/*.go", "../cmd/*/*.go", "../examples/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), "../")
			forTests := strings.HasPrefix(folder, "internal/test") || folder == "internal/simulate"
			if !forTests && (!strings.HasSuffix(file, "_test.go") || folder == "tests") {
				folders[folder] = true
			}
		}
	}
	for folder := range folders {
		if !strings.Contains(readme, "]("+folder+")") {
			t.Errorf("the README does not list %s", folder)
		}
	}
}

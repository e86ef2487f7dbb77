// Package testneed finds what some tests need besides Go, such as programs, and
// skips those tests where it is missing.
package testneed

import (
	"os"
	"os/exec"
	"testing"
)

// Program returns the path of the first of these programs that is installed.
// Without one it calls [Missing]. what says what is missing, like "Chromium is
// not installed, so browsers are not tested."
func Program(t testing.TB, what string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, what)
	return ""
}

// Missing skips the test for want of something, and fails it if REQUIRE_ALL=1
// lets no test be skipped.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(what + " REQUIRE_ALL=1 lets no test be skipped.")
	}
	t.Skip(what)
}

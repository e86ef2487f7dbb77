package greeting

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	git := []debug.BuildSetting{{Key: "vcs.revision", Value: "1224141"}, {Key: "vcs.time", Value: "2026-11-28T10:00:00Z"}}
	for name, tt := range map[string]struct {
		main     string
		settings []debug.BuildSetting
		want     string
	}{
		"a release":                      {"v1.2.3", git, "v1.2.3, built with go1.26"},
		"a checkout":                     {"(devel)", git, "commit 1224141 of 2026-11-28T10:00:00Z, built with go1.26"},
		"a checkout with changes":        {"", append(git, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "commit 1224141 of 2026-11-28T10:00:00Z with changes, built with go1.26"},
		"go run, or a folder of sources": {"(devel)", nil, "(version not recorded: go run does not, nor does a build without Git), built with go1.26"},
	} {
		info := &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: tt.main}, Settings: tt.settings}
		if got := version(info); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

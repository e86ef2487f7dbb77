package greeting

import "runtime/debug"

// Version says what the program was built from: the module's version or the
// commit, as far as the go command recorded it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return noVersion
	}
	return version(info)
}

const noVersion = "(version not recorded: go run does not, nor does a build without Git)"

func version(info *debug.BuildInfo) string {
	built := ", built with " + info.GoVersion
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v + built
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if commit == "" {
		return noVersion + built
	}
	changes := ""
	if settings["vcs.modified"] == "true" {
		changes = " with changes"
	}
	return "commit " + commit + " of " + settings["vcs.time"] + changes + built
}

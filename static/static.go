// Package static embeds the stylesheet, the script and the drawings, and names
// each with a fingerprint of its content, so that browsers may keep them
// forever.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"path"
	"strings"
)

//go:embed *.css *.js *.svg
var embedded embed.FS

// File is one of the files as it is served.
type File struct {
	Type    string // its Content-Type
	Content []byte
}

var served, names = load()

// load returns the files by their fingerprinted names, and these names by the
// plain ones.
func load() (map[string]File, map[string]string) {
	served, names := make(map[string]File), make(map[string]string)
	entries, err := embedded.ReadDir(".")
	if err != nil {
		panic(err) // an embedded folder can be read
	}
	for _, entry := range entries {
		content, err := embedded.ReadFile(entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(entry.Name())
		name := strings.TrimSuffix(entry.Name(), ext) + "." + hex.EncodeToString(sum[:4]) + ext
		served[name] = File{mime.TypeByExtension(ext), content}
		names[entry.Name()] = name
	}
	return served, names
}

// Path returns where a file is served, or "" if there is no such file.
func Path(name string) string {
	if names[name] == "" {
		return ""
	}
	return "/static/" + names[name]
}

// Lookup returns the file with that fingerprinted name.
func Lookup(name string) (File, bool) {
	file, ok := served[name]
	return file, ok
}

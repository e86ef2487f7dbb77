// Package static embeds the stylesheet, the scripts and the icons, and names
// each with a fingerprint of its content, so that browsers may keep them
// forever. TestIcons in tests/ draws the pictures that are not SVG.
package static

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"path"
	"strings"
)

//go:embed *.css *.js *.svg *.png *.ico *.webmanifest
var embedded embed.FS

// File is one of the files as it is served.
type File struct {
	Type    string // its Content-Type
	Content []byte
}

// types are the Content-Types that package mime knows on some systems only.
var types = map[string]string{".ico": "image/x-icon", ".webmanifest": "application/manifest+json"}

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
		ext := path.Ext(entry.Name())
		if ext == ".webmanifest" {
			content = withIcons(content, names)
		}
		sum := sha256.Sum256(content)
		name := strings.TrimSuffix(entry.Name(), ext) + "." + hex.EncodeToString(sum[:4]) + ext
		served[name] = File{cmp.Or(types[ext], mime.TypeByExtension(ext)), content}
		names[entry.Name()] = name
	}
	return served, names
}

// withIcons puts the fingerprinted names of its icons into the manifest. ReadDir
// sorts, so icons have names that come before the manifest's.
func withIcons(manifest []byte, names map[string]string) []byte {
	for plain, name := range names {
		manifest = bytes.ReplaceAll(manifest, []byte(`"`+plain+`"`), []byte(`"`+name+`"`))
	}
	return manifest
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

// Package templates embeds the pages.
package templates

import "embed"

// Files has layout.html, the drawings, code.html for user codes, new-devices.html
// for the pages that ask about new devices, and one file for each page, which
// fills layout.html's blocks.
//
//go:embed *.html
var Files embed.FS

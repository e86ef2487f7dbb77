// Package templates embeds the pages.
package templates

import "embed"

// Files has layout.html and one file for each page, which fills its blocks.
//
//go:embed *.html
var Files embed.FS

package handlers

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/skip2/go-qrcode"
)

// qrCode draws text as an SVG: whole modules, dark on white for any colors of
// the page, with the quiet zone that scanners need.
func qrCode(text string) (template.HTML, error) {
	code, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		return "", err
	}
	modules := code.Bitmap() // the quiet zone included
	var path strings.Builder
	for y, row := range modules {
		for x := 0; x < len(row); x++ {
			if !row[x] {
				continue
			}
			start := x
			for x < len(row) && row[x] {
				x++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start, y, x-start, x-start)
		}
	}
	size := len(modules)
	svg := fmt.Sprintf(`<svg id="qr-code" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code with the link and the code beside it">`+
		`<path fill="#ffffff" d="M0 0h%dv%dH0z"/><path fill="#000000" d="%s"/></svg>`, size, size, size, size, path.String())
	return template.HTML(svg), nil // numbers only; none of text is in it
}

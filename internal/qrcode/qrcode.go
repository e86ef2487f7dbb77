// Package qrcode draws QR codes as SVG, and caches them.
package qrcode

import (
	"fmt"
	"html/template"
	"strconv"
	"sync"

	encoder "github.com/skip2/go-qrcode"
)

// code is a QR code with the quiet zone that scanners need around it.
type code struct {
	size int    // modules in a row
	dark []byte // a bit for each module, row by row
}

func encode(text string) (code, error) {
	encoded, err := encoder.New(text, encoder.Medium)
	if err != nil {
		return code{}, err
	}
	rows := encoded.Bitmap() // the quiet zone included
	c := code{len(rows), make([]byte, len(rows)*len(rows)/8+1)}
	for y, row := range rows {
		for x, dark := range row {
			if i := y*c.size + x; dark {
				c.dark[i/8] |= 1 << (i % 8)
			}
		}
	}
	return c, nil
}

func (c code) isDark(x, y int) bool {
	i := y*c.size + x
	return c.dark[i/8]&(1<<(i%8)) != 0
}

// svg draws the code: whole modules, dark on white for any colors of the page.
func (c code) svg() template.HTML {
	path := make([]byte, 0, 8<<10)
	add := func(command string, n int) { path = strconv.AppendInt(append(path, command...), int64(n), 10) }
	for y := range c.size {
		for x := 0; x < c.size; x++ {
			start := x
			for x < c.size && c.isDark(x, y) {
				x++
			}
			if x == start {
				continue
			}
			add("M", start)
			add(" ", y)
			add("h", x-start)
			add("v1h-", x-start)
			path = append(path, 'z')
		}
	}
	return template.HTML(fmt.Sprintf(`<svg id="qr-code" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges" role="img" aria-label="QR code with the link and the code beside it">`+
		`<path fill="#ffffff" d="M0 0h%[1]dv%[1]dH0z"/><path fill="#000000" d="%[2]s"/></svg>`, c.size, path)) // numbers only; none of the text is in it
}

// maxCodes bounds the memory of [Codes], to about 2 MB.
const maxCodes = 4096

// Codes draws QR codes and caches their encoding, which is the slowest part of the
// laptop's page. Without scripts that page refreshes every 5 seconds. The zero value
// is ready to use.
type Codes struct {
	mu sync.Mutex
	of map[string]code
}

// Draw returns the QR code of a text as an SVG with the ID qr-code.
func (k *Codes) Draw(text string) (template.HTML, error) {
	k.mu.Lock()
	c, ok := k.of[text]
	k.mu.Unlock()
	if ok {
		return c.svg(), nil
	}
	c, err := encode(text)
	if err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil || len(k.of) == maxCodes {
		k.of = make(map[string]code) // codes still on a screen are encoded again
	}
	k.of[text] = c
	return c.svg(), nil
}

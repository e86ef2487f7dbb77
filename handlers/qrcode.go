package handlers

import (
	"fmt"
	"html/template"
	"strconv"
	"sync"

	"github.com/skip2/go-qrcode"
)

// qrCode is a QR code with the quiet zone that scanners need around it.
type qrCode struct {
	size int    // modules in a row
	dark []byte // a bit for each module, row by row
}

func encodeQR(text string) (qrCode, error) {
	encoded, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		return qrCode{}, err
	}
	rows := encoded.Bitmap() // the quiet zone included
	code := qrCode{len(rows), make([]byte, len(rows)*len(rows)/8+1)}
	for y, row := range rows {
		for x, dark := range row {
			if i := y*code.size + x; dark {
				code.dark[i/8] |= 1 << (i % 8)
			}
		}
	}
	return code, nil
}

func (c qrCode) isDark(x, y int) bool {
	i := y*c.size + x
	return c.dark[i/8]&(1<<(i%8)) != 0
}

// svg draws the code: whole modules, dark on white for any colors of the page.
func (c qrCode) svg() template.HTML {
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

// maxQRCodes bounds the memory of [qrCodes], to about 2 MB.
const maxQRCodes = 4096

// qrCodes keeps what was encoded, because that takes longer than everything else
// on the laptop's page, and without scripts the page refreshes every 5 seconds.
// The zero value is ready for use.
type qrCodes struct {
	mu sync.Mutex
	of map[string]qrCode
}

// draw returns the QR code of a text as an SVG.
func (q *qrCodes) draw(text string) (template.HTML, error) {
	q.mu.Lock()
	code, ok := q.of[text]
	q.mu.Unlock()
	if ok {
		return code.svg(), nil
	}
	code, err := encodeQR(text)
	if err != nil {
		return "", err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil || len(q.of) == maxQRCodes {
		q.of = make(map[string]qrCode) // those that are still shown come back
	}
	q.of[text] = code
	return code.svg(), nil
}

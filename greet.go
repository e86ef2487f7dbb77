package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/skip2/go-qrcode"

	"changebank/internal/config"
)

// greet says where to go next: at once, since others write to w as well. people
// are those of the demo provider; password is theirs, unless it was chosen.
func greet(w io.Writer, cfg *config.Config, people []string, password string) {
	var text strings.Builder
	fmt.Fprintf(&text, "Changebank is at %s\n", cfg.AppURL)
	if cfg.Demo {
		with := "the password in USER_PASSWORD"
		if password != "" {
			with = fmt.Sprintf("the password %q", password)
		}
		fmt.Fprintf(&text, "The identity provider is a demo inside this program, at %s. Set ISSUER to use your own.\n", cfg.DemoURL)
		fmt.Fprintf(&text, "Log in as %s with %s.\n", strings.Join(people, " or "), with)
	} else {
		fmt.Fprintf(&text, "People log in at %s\n", cfg.Issuer)
	}
	text.WriteString(whoReaches(cfg))
	fmt.Fprintf(&text, "Data is kept in %s. Stop with Ctrl-C.\n", cfg.DataDir)
	if cfg.Ngrok || cfg.LAN {
		// A URL that is too long for a code is still there to be typed.
		if code, err := terminalQR(cfg.AppURL, isTerminal(w)); err == nil {
			text.WriteString("Open it with the phone's camera:\n" + code)
		}
	}
	_, _ = io.WriteString(w, text.String()) // if nobody can read it, the program runs all the same
}

// whoReaches says who can come, in a line or none.
func whoReaches(cfg *config.Config) string {
	what := "the bank"
	if cfg.Demo {
		what = "the bank and the demo login"
	}
	switch {
	case cfg.LAN:
		return "Everyone in this network can reach " + what + ", and read along: nothing is encrypted (-lan).\n"
	case cfg.Ngrok:
		return "Everyone on the internet can reach " + what + ", through the tunnels of ngrok (-ngrok). If a page of ngrok's comes first, press Visit Site there.\n"
	case cfg.Demo && cfg.Exposed():
		return "Others can reach this, too: whoever can connect to this machine, and knows that password.\n"
	case cfg.Demo:
		return "On one computer: log in in one window, show a QR code in a private window, and open the address of the link beside it in the first.\n"
	}
	return ""
}

// terminalQR draws a QR code of text, two modules in a character. In colour it
// is black on white whatever the terminal's own colours are; else it is right
// where dark is written on light.
func terminalQR(text string, colour bool) (string, error) {
	code, err := qrcode.New(text, qrcode.Low) // nothing wears off a screen, and it must fit one
	if err != nil {
		return "", err
	}
	begin, end := "", ""
	if colour {
		// Of the 256 colours, these two are the same in every theme.
		begin, end = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
	}
	modules := code.Bitmap() // the quiet zone included
	modules = append(modules, make([]bool, len(modules)))
	var drawn strings.Builder
	for y := 0; y+1 < len(modules); y += 2 {
		drawn.WriteString(begin)
		for x, upper := range modules[y] {
			lower := modules[y+1][x]
			switch {
			case upper && lower:
				drawn.WriteString("█")
			case upper:
				drawn.WriteString("▀")
			case lower:
				drawn.WriteString("▄")
			default:
				drawn.WriteString(" ")
			}
		}
		drawn.WriteString(end + "\n")
	}
	return drawn.String(), nil
}

// isTerminal reports whether a person reads what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

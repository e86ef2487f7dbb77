// Package greeting tells the person at the terminal where to go next: the
// addresses, whom to log in as, and who else can connect.
package greeting

import (
	"fmt"
	"io"
	"os"
	"strings"

	"changebank/internal/config"
)

// Write greets with a single write, since the log goes to w as well. people
// are those of the demo provider; password is theirs, empty if the operator
// chose it.
func Write(w io.Writer, cfg *config.Config, people []string, password string) {
	var text strings.Builder
	fmt.Fprintf(&text, "Changebank is at %s\n", cfg.AppURL)
	if cfg.Demo {
		with := "the password in USER_PASSWORD"
		if password != "" {
			with = fmt.Sprintf("the password %q", password)
		}
		fmt.Fprintf(&text, "A demo identity provider is built in, at %s. Set ISSUER to use your own.\n", cfg.DemoURL)
		fmt.Fprintf(&text, "Log in as %s with %s.\n", strings.Join(people, " or "), with)
	} else {
		fmt.Fprintf(&text, "People log in at %s, once the log says \"identity provider found\".\n", cfg.Issuer)
	}
	text.WriteString(audience(cfg))
	fmt.Fprintf(&text, "Data is kept in %s. Stop with Ctrl-C.\n", cfg.DataPlace())
	if cfg.Ngrok || cfg.LAN {
		// An address too long for a QR code can still be typed.
		file, ok := w.(*os.File)
		if code, err := QR(cfg.AppURL, ok && isTerminal(file)); err == nil {
			text.WriteString("Open it with your phone's camera:\n" + code)
		}
	}
	_, _ = io.WriteString(w, text.String()) // the program also runs where nobody reads this
}

// audience says who can connect, or how to try a login on one computer.
func audience(cfg *config.Config) string {
	what := "the bank"
	if cfg.Demo {
		what = "the bank and the demo login"
	}
	switch {
	case cfg.LAN:
		return "Anyone on this network can connect to " + what + ", and traffic is unencrypted (-lan).\n"
	case cfg.Ngrok:
		return "Anyone on the internet can connect to " + what + " through ngrok's tunnels (-ngrok). If ngrok shows a warning page first, press Visit Site.\n"
	case cfg.Demo && cfg.Exposed():
		return "Other machines can connect, too, and log in with that password.\n"
	case cfg.Demo:
		return "On one computer: log in here in one window, show a QR code in a private window, and open the link beside the code in the first.\n"
	}
	return ""
}

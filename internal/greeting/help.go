package greeting

import (
	"flag"
	"fmt"
	"io"
)

// Help explains the flags, and where the settings are.
func Help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprint(w, `Changebank logs in a laptop with a phone that scans its QR code.

Without flags and settings, only browsers on this computer can open it. The flags,
each with an example:

`)
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprint(w, `
Everything else, such as the port and the identity provider, is a setting: an
environment variable, or a line of the file .env in the current folder:

    PORT=5001

.env.example lists all settings with their defaults, and the README explains them.
`)
}

package greeting

import (
	"flag"
	"fmt"
	"io"
)

// Help explains the flags, and where the settings are.
func Help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprint(w, `Changebank logs a laptop in with a phone that scans its QR code.

Without flags and settings, only browsers on this computer can open it. The flags,
with an example each:

`)
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprint(w, `
The rest, such as the port and the identity provider, are settings. They are
environment variables, or lines of a file .env in the folder it is started from:

    PORT=5001

.env.example lists all settings with their defaults, and the README explains them.
`)
}

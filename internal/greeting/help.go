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
Settings control everything else, such as the port and the identity provider.
They are environment variables, or lines of the file .env in the current folder:

    PORT=5001

.env.example lists all settings with their defaults, and the README explains them.
`)
}

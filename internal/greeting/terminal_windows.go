package greeting

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal reports whether a file is a console that understands colors. Older
// ones do so only if the program asks for it.
func isTerminal(file *os.File) bool {
	console := windows.Handle(file.Fd())
	var mode uint32
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

//go:build !windows

package greeting

import "os"

// isTerminal reports whether a file is a terminal, which understands colors.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

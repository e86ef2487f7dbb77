//go:build !windows

package serve

import "syscall"

// Errors of a failed listen.
const (
	errInUse    = syscall.EADDRINUSE
	errNoAddr   = syscall.EADDRNOTAVAIL
	errNoFamily = syscall.EAFNOSUPPORT
	errDenied   = syscall.EACCES
)

// advice is the message for errDenied.
const advice = "this user may not use port %d; set %s to 1024 or more"

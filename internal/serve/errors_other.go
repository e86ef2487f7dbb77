//go:build !windows

package serve

import "syscall"

// What the system answers if it cannot listen.
const (
	errInUse    = syscall.EADDRINUSE
	errNoAddr   = syscall.EADDRNOTAVAIL
	errNoFamily = syscall.EAFNOSUPPORT
	errDenied   = syscall.EACCES
)

// advice says what to do about errDenied.
const advice = "this user may not use port %d; set %s to 1024 or more"

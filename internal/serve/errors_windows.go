package serve

import "golang.org/x/sys/windows"

// Errors of a failed listen. On Windows, [syscall.EADDRINUSE] and the like are
// numbers invented by Go that no call returns.
const (
	errInUse    = windows.WSAEADDRINUSE
	errNoAddr   = windows.WSAEADDRNOTAVAIL
	errNoFamily = windows.WSAEAFNOSUPPORT
	errDenied   = windows.WSAEACCES
)

// advice is the message for errDenied.
const advice = "Windows has reserved port %d, or a program uses it exclusively; set %s to another port " +
	"(reserved ones: netsh interface ipv4 show excludedportrange protocol=tcp)"

package serve

import "golang.org/x/sys/windows"

// What Windows answers if it cannot listen. [syscall.EADDRINUSE] and the like are
// numbers that Go made up there, which no call returns.
const (
	errInUse    = windows.WSAEADDRINUSE
	errNoAddr   = windows.WSAEADDRNOTAVAIL
	errNoFamily = windows.WSAEAFNOSUPPORT
	errDenied   = windows.WSAEACCES
)

// advice says what to do about errDenied.
const advice = "Windows has reserved port %d, or a program uses it exclusively; set %s to another port " +
	"(reserved ones: netsh interface ipv4 show excludedportrange protocol=tcp)"

//go:build unix && !solaris && !aix && !illumos

package train

import (
	"os"
	"syscall"
)

// lockFile locks a file until it is closed. It reports whether no other process had locked it.
func lockFile(f *os.File) bool {
	return !errorsIsBusy(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}

// errorsIsBusy reports whether somebody else has the lock. A file system without locks has nobody.
func errorsIsBusy(err error) bool { return err == syscall.EWOULDBLOCK }

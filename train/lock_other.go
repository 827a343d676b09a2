//go:build !unix || solaris || aix || illumos

package train

import "os"

// lockFile reports that no other process has locked the file: there are no such locks here.
func lockFile(*os.File) bool { return true }

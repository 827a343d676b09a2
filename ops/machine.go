package ops

import "github.com/convgrad/convgrad/internal/kernel"

// Threads is the number of threads that the ops' kernels use: one for each core that Go may use,
// unless SetThreads or the environment variable CONVGRAD_THREADS says otherwise.
func Threads() int { return kernel.Threads() }

// SetThreads sets the number of threads that the ops' kernels use and returns what it was; n < 1
// asks for one for each core, and more than 1024 are never used. Results are the same bits at any
// number.
func SetThreads(n int) int { return kernel.SetThreads(n) }

// Tier names the code path that the kernels take on this machine: "avx512", "avx2" or "generic".
// The environment variable CONVGRAD_TIER, read at start, forces one.
func Tier() string { return kernel.CurrentTier().String() }

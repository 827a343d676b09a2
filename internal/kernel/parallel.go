package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

var threads atomic.Int64

func init() { threads.Store(int64(runtime.GOMAXPROCS(0))) }

// Threads is the number of threads that kernels use.
func Threads() int { return int(threads.Load()) }

// SetThreads sets it and returns what it was; n < 1 asks for one per core. Results are the same bits at any number.
func SetThreads(n int) int {
	if n < 1 {
		n = runtime.GOMAXPROCS(0)
	}
	return int(threads.Swap(int64(n)))
}

// parallel calls task(i, worker) once for each i in [0, tasks), on at most Threads() workers numbered from 0. Which worker takes which task is not fixed; what a task
// computes must not depend on it. worker indexes scratch: no two tasks run on one worker at a time within a call.
func parallel(tasks int, task func(i, worker int)) {
	n := min(Threads(), tasks)
	if n <= 1 {
		for i := range tasks {
			task(i, 0)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < tasks; i = int(next.Add(1)) - 1 {
				task(i, w)
			}
		})
	}
	wg.Wait()
}

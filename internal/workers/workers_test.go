package workers

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParallelRunsEachTaskOnceAndOneAtATimeOnAWorker(t *testing.T) {
	was := SetThreads(1)
	defer SetThreads(was)
	for _, n := range []int{1, 2, 3, 7} {
		SetThreads(n)
		for _, tasks := range []int{0, 1, 2, 5, 100} {
			for range 20 {
				ran := make([]atomic.Int32, tasks)
				inUse := make([]atomic.Bool, n)
				Run(tasks, func(i, worker int) {
					if !inUse[worker].CompareAndSwap(false, true) {
						t.Errorf("%d threads, %d tasks: two tasks at a time on worker %d", n, tasks, worker)
					}
					ran[i].Add(1)
					inUse[worker].Store(false)
				})
				for i := range ran {
					if c := ran[i].Load(); c != 1 {
						t.Fatalf("%d threads, %d tasks: task %d ran %d times", n, tasks, i, c)
					}
				}
			}
		}
	}
}

func TestParallelNestedAndFromSeveralGoroutines(t *testing.T) {
	was := SetThreads(5)
	defer SetThreads(was)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for round := range 30 {
				var sum atomic.Int64
				Run(7, func(i, _ int) {
					Run(3, func(j, _ int) { sum.Add(int64(10*i + j)) })
				})
				if got := sum.Load(); got != 3*10*21+7*3 {
					t.Errorf("sum is %d", got)
				}
				if round%10 == 0 {
					time.Sleep(200 * time.Microsecond) // long enough for helpers to sleep
				}
			}
		})
	}
	wg.Wait()
}

func TestThreadsChangeWhileTasksRun(t *testing.T) {
	defer SetThreads(SetThreads(1))
	var wg sync.WaitGroup
	var running atomic.Int32
	for range 3 {
		running.Add(1)
		wg.Go(func() {
			defer running.Add(-1)
			for range 300 {
				var ran [11]atomic.Int32
				Run(len(ran), func(i, _ int) { ran[i].Add(1) })
				for i := range ran {
					if c := ran[i].Load(); c != 1 {
						t.Errorf("task %d ran %d times", i, c)
					}
				}
			}
		})
	}
	for n := 0; running.Load() > 0; n++ {
		SetThreads(1 + n%7)
		runtime.Gosched()
	}
	wg.Wait()
}

func TestParallelHandsAPanicToTheCaller(t *testing.T) {
	was := SetThreads(3)
	defer SetThreads(was)
	for k := range 9 {
		func() {
			defer func() {
				if r := recover(); r != fmt.Sprint("task ", k) {
					t.Errorf("recovered %v from task %d", r, k)
				}
			}()
			Run(9, func(i, _ int) {
				if i == k {
					panic(fmt.Sprint("task ", i))
				}
			})
		}()
	}
	var n atomic.Int32
	Run(9, func(int, int) { n.Add(1) })
	if n.Load() != 9 {
		t.Errorf("after the panics %d tasks of 9 ran", n.Load())
	}
}

func TestParallelStartsNoGoroutinesInTheSteadyState(t *testing.T) {
	was := SetThreads(4)
	defer SetThreads(was)
	Run(8, func(int, int) {})
	before := runtime.NumGoroutine()
	for range 100 {
		Run(8, func(int, int) {})
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, then %d", before, after)
	}
}

func TestSetThreads(t *testing.T) {
	was := SetThreads(3)
	defer SetThreads(was)
	if got := SetThreads(0); got != 3 {
		t.Errorf("SetThreads returned %d, want 3", got)
	}
	if got := Threads(); got != runtime.GOMAXPROCS(0) {
		t.Errorf("after SetThreads(0) Threads is %d", got)
	}
	SetThreads(1 << 40)
	if got := Threads(); got != maxThreads {
		t.Errorf("Threads is %d", got)
	}
}

func TestEnvironment(t *testing.T) {
	for s, want := range map[string]int{"": 0, "1": 1, "12": 12, "1024": 1024} {
		if n, err := parseThreads(s); n != want || err != nil {
			t.Errorf("parseThreads(%q) = %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"0", "-1", "two", "1025", "99999999999999999999", " 2"} {
		if n, err := parseThreads(s); n != 0 || err == nil {
			t.Errorf("parseThreads(%q) = %d, %v", s, n, err)
		}
	}
}

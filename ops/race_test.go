//go:build race

package ops_test

// raceDetector says that the tests run under it.
const raceDetector = true

// Command tiers prints the tiers of vector code that this machine and this build can run, best
// last.
package main

import (
	"fmt"

	"github.com/convgrad/convgrad/internal/simd"
)

func main() {
	for _, t := range simd.Tiers() {
		fmt.Println(t)
	}
}

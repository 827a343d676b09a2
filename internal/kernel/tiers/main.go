// Command tiers prints the kernel tiers that this machine and this build can run, best last.
package main

import (
	"fmt"

	"github.com/convgrad/convgrad/internal/kernel"
)

func main() {
	for _, t := range kernel.Tiers() {
		fmt.Println(t)
	}
}

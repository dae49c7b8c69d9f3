// Command build compiles the Vault that the tests use, unless it has been, and prints
// where it is. It is for a script that prepares a machine; tests do it themselves.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/bundlesign/bundlesign/backends/vault/vaulttest"
)

func main() {
	path, err := vaulttest.Build(context.Background(), func(text string) { fmt.Fprintln(os.Stderr, text) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

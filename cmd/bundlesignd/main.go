// Command bundlesignd is the signing daemon. This package only wires: what the
// daemon does is in signer, what it is told in config, what it says in api.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // conditions of a policy name time zones, and a small machine may have none
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

package pkcs11

import "time"

// backoff returns how long to wait after the nth failure in a row, from 1,
// before a new child is started. The first failure costs nothing: a child that
// has worked and then crashed is replaced at once. The limit is what a request
// may have to wait for an HSM that is there again.
func backoff(n int) time.Duration {
	const first, most = 100 * time.Millisecond, time.Second
	if n <= 1 {
		return 0
	}
	// 100 ms, 200 ms, ... : four doublings pass the limit.
	return min(first<<min(n-2, 4), most)
}

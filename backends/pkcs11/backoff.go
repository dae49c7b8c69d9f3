package pkcs11

import "time"

// backoff returns how long to wait after the nth failure in a row, from 1,
// before a new child is started. The first failure costs nothing: a child that
// has worked and then crashed is replaced at once.
func backoff(n int) time.Duration {
	const first, most = 100 * time.Millisecond, 10 * time.Second
	if n <= 1 {
		return 0
	}
	// 100 ms, 200 ms, ... : seven doublings pass the limit.
	return min(first<<min(n-2, 7), most)
}

package store

import (
	"strconv"
	"sync/atomic"
	"testing"
)

// BenchmarkUpdate is what one durable move costs: a record, its log entry, the
// tree, a checkpoint and a commit that is on the disk; alone, and with so many
// callers that commits are shared.
func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run("callers="+strconv.Itoa(callers), func(b *testing.B) {
			s := openStore(b, newLogKeys(b).options(stateDir(b)))
			var n atomic.Int64
			b.SetParallelism((callers + 1) / 2) // of two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Update(b.Context(), insert(request(strconv.FormatInt(n.Add(1), 10)))); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

package delta

import (
	"bytes"
	"context"
	"io"
	"math/bits"

	"github.com/andybalholm/brotli"
	"golang.org/x/sync/semaphore"

	"github.com/bundlesign/bundlesign/capgo"
)

// How hard Brotli tries depends on the size of a file and on nothing else, so that
// the same app gives the same files on any machine. The official CLI has quality
// 11 for all. Quality 10, with a window that fits the file, takes less than half of
// the time that 11 takes here, for files that are not 3 % larger; package interop's
// BenchmarkDeltaAgainstNode measures both against Node.js. Beyond bestSize it would
// take minutes for a file.
const (
	bestSize     = 16 << 20 // bytes; larger files get lowerQuality
	bestQuality  = 10
	lowerQuality = 9

	minWindow = 10 // bits, the least and the most that every decoder has (RFC 7932, section 9.1)
	maxWindow = 22 // bits, as in the official CLI
)

func quality(size int64) int {
	if size > bestSize {
		return lowerQuality
	}
	return bestQuality
}

// window is the smallest that takes all of a file: 16 bytes of one are not usable.
func window(size int64) int {
	return min(max(bits.Len64(uint64(size)+15), minWindow), maxWindow)
}

// compressorMemory is the most that all compressors at work have together, in
// bytes; one always works.
const compressorMemory = 512 << 20

// memory is about what compressing a file takes, in bytes, besides the file: some
// 24 for each byte of the window (its forest of matches, and the commands for one
// block of input), and tables of a fixed size.
func memory(size int64) int64 {
	return min(int64(24)<<window(size)+2<<20, compressorMemory)
}

// compressor compresses files, several at a time.
type compressor struct {
	inMemory int64 // bytes; larger files are not held in memory
	memory   *semaphore.Weighted
}

func newCompressor(inMemory int64) *compressor {
	return &compressor{inMemory, semaphore.NewWeighted(compressorMemory)}
}

// compress writes to dst what copy writes to its argument, compressed. Size is how
// many bytes that will be.
func (c *compressor) compress(ctx context.Context, dst io.Writer, size int64, copy func(io.Writer) error) error {
	weight := memory(size)
	if err := c.memory.Acquire(ctx, weight); err != nil {
		return context.Cause(ctx)
	}
	defer c.memory.Release(weight)
	w := brotli.NewWriterOptions(dst, brotli.WriterOptions{Quality: quality(size), LGWin: window(size)})
	if err := copy(w); err != nil {
		return err
	}
	return w.Close()
}

// undone reports whether a phone makes of the stored bytes what was signed.
func undone(stored []byte, plain []byte) bool {
	if capgo.BrotliMisread(stored) {
		return false
	}
	same := &comparer{left: plain}
	n, err := capgo.Unbrotli(same, bytes.NewReader(stored), int64(len(plain)))
	return err == nil && n == int64(len(plain)) && len(same.left) == 0
}

// comparer fails on the first byte that is not as expected.
type comparer struct{ left []byte }

func (c *comparer) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(c.left, p) {
		return 0, io.ErrShortWrite
	}
	c.left = c.left[len(p):]
	return len(p), nil
}

const (
	sampleBlock  = 8 << 10 // bytes
	sampleBlocks = 32      // of a large file; of a small one every fourth
	sampleWindow = 16      // bits
)

// sampler tells a file that is compressed already (an image, a font, a video) from
// others by a part of it, fast. To try Brotli's best on such a file takes as long
// as on any other, and for nothing.
type sampler struct {
	every   int64 // which blocks are taken
	at      int64 // bytes of the file seen
	taken   int64 // bytes of the file taken
	out     counter
	deflate *brotli.Writer
}

func newSampler(size int64) *sampler {
	s := &sampler{every: max(4, size/sampleBlock/sampleBlocks)}
	s.deflate = brotli.NewWriterOptions(&s.out, brotli.WriterOptions{Quality: 4, LGWin: sampleWindow})
	return s
}

func (s *sampler) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		block, within := s.at/sampleBlock, s.at%sampleBlock
		n := min(int64(len(p)), sampleBlock-within)
		if block%s.every == 0 {
			if _, err := s.deflate.Write(p[:n]); err != nil {
				return 0, err
			}
			s.taken += n
		}
		s.at += n
		p = p[n:]
	}
	return total, nil
}

// hopeless reports whether the sample does not shrink by as much as one per cent.
func (s *sampler) hopeless() (bool, error) {
	if err := s.deflate.Close(); err != nil {
		return false, err
	}
	return int64(s.out) > s.taken-s.taken/100, nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

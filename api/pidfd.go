package api

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// process is the process that connected. Its number alone would not do: when the
// process ends, the kernel gives the number to another, and what /proc then says
// is about that one. A pidfd stays with its process.
type process struct {
	pid   int32
	pidfd *os.File // never used by number: a file that is closed meanwhile stays a closed file
}

// errGone is a process that has ended.
var errGone = errors.New("the process has ended")

// peerProcess takes hold of the process that connected. An error means that there
// is no hold of it: it has ended, or, if [passing] says so, this machine is short
// of something now.
//
// From Linux 6.5 on, the kernel itself keeps who connected (SO_PEERPIDFD), and
// nothing can come between. Before that, pidfd_open by number it is, and one race
// remains: a process that connects and ends, and whose number is given to
// another process before this daemon has accepted the connection, is taken for
// that other one. A process that starts later than that, to the clock tick (10
// ms), is found out by its time of start.
func peerProcess(socket int, pid int32, accepted uint64) (*process, error) {
	if pid <= 0 {
		return nil, errors.New("it is in no pid namespace that this daemon sees")
	}
	fd, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case err == nil:
		return newProcess(pid, fd), nil
	case errors.Is(err, unix.ENOPROTOOPT):
		return openProcess("/proc", pid, accepted)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENODATA):
		return nil, errGone // ended before it was accepted; which errno depends on the kernel
	}
	return nil, fmt.Errorf("taking a pidfd of it (SO_PEERPIDFD): %w", err)
}

// passing reports whether taking hold of a process may work at another time: then
// it is wrong to decide anything now.
func passing(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

func newProcess(pid int32, pidfd int) *process {
	return &process{pid, os.NewFile(uintptr(pidfd), "pidfd")}
}

// openProcess is peerProcess for kernels without SO_PEERPIDFD. The time of
// accepting is in nanoseconds of CLOCK_BOOTTIME.
func openProcess(proc string, pid int32, accepted uint64) (*process, error) {
	fd, err := unix.PidfdOpen(int(pid), 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: it is a thread's number now
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("taking a pidfd of it (pidfd_open): %w", err)
	}
	p := newProcess(pid, fd)
	started, err := startTick(proc, pid)
	if gone := p.alive(); gone != nil {
		err = gone // whose time that was cannot be told
	} else if err == nil && started > accepted/nanosecondsPerTick {
		err = errGone // it started after the peer had been accepted
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// nanosecondsPerTick is the unit of times in /proc/PID/stat: USER_HZ is 100 on
// every machine that Go runs Linux programs on (time(7), sysconf(3)).
const nanosecondsPerTick = 10_000_000

// startTick is field 22 of /proc/PID/stat (proc_pid_stat(5)): when the process
// started, in clock ticks since the machine did.
func startTick(proc string, pid int32) (uint64, error) {
	stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(int(pid)), "stat"))
	if err != nil {
		return 0, fmt.Errorf("when it started: %w", err)
	}
	// Field 2 is its name in parentheses, in which anything may stand.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const start = 22 - 3
	if len(fields) <= start {
		return 0, fmt.Errorf("when it started: found %d fields after its name in /proc/%d/stat, want more than %d", len(fields), pid, start)
	}
	return strconv.ParseUint(string(fields[start]), 10, 64)
}

// bootNanoseconds is the time since the machine started, which is what times of
// start are counted in.
func bootNanoseconds() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("clock_gettime(CLOCK_BOOTTIME): %w", err)
	}
	return uint64(ts.Nano()), nil
}

// alive returns nil while the process has not ended: until then its number is its
// own. What was read by that number before is then about this process.
func (p *process) alive() error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var pollErr error
	err = raw.Control(func(fd uintptr) {
		for {
			// A pidfd is readable when its process has ended (pidfd_open(2)).
			n, pollErr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			if !errors.Is(pollErr, unix.EINTR) {
				return
			}
		}
	})
	if err := errors.Join(err, pollErr); err != nil {
		return fmt.Errorf("asking whether the process is there still: %w", err)
	}
	if n != 0 {
		return errGone
	}
	return nil
}

func (p *process) close() error { return p.pidfd.Close() }

package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// units tells the systemd unit of a peer. Where it cannot be told, the unit is
// "", and rules that want one do not match.
type units struct {
	proc string      // where procfs is mounted
	log  *zap.Logger // sampled: a stranger must not fill the log
}

// of returns the unit in which the peer runs now, such as "actions-runner.service".
// It is asked for each decision, not once for a connection: the unit must be that
// of a process that is still there.
func (u *units) of(p *peer) string {
	unit, err := u.read(p)
	switch {
	case errors.Is(err, errGone):
		u.log.Debug("a peer has no unit: it has ended", zap.Uint32("uid", p.uid), zap.Int32("pid", p.pid))
	case err != nil:
		u.log.Warn("the systemd unit of a peer cannot be told, so no rule with units matches it",
			zap.Uint32("uid", p.uid), zap.Int32("pid", p.pid), zap.Error(err))
	}
	return unit
}

func (u *units) read(p *peer) (string, error) {
	if p.process == nil {
		return "", p.noProcess
	}
	data, err := readCgroup(filepath.Join(u.proc, strconv.Itoa(int(p.process.pid)), "cgroup"))
	// Only now: while it had not ended until here, what was read is about it.
	if gone := p.process.alive(); gone != nil {
		return "", gone
	}
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w, although the process is there: /proc is mounted with hidepid=, or the daemon's unit has ProtectProc=", err)
	}
	if err != nil {
		return "", err
	}
	return unitOf(data)
}

// maxCgroup bounds /proc/PID/cgroup in bytes: a line for each of some twelve
// hierarchies, each with a path of up to 4096 bytes.
const maxCgroup = 64 << 10

func readCgroup(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCgroup+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxCgroup {
		return nil, fmt.Errorf("%s: found more than %d bytes", path, maxCgroup)
	}
	return data, nil
}

// unitOf finds the unit in the text of /proc/PID/cgroup (cgroups(7)), with lines
// "ID:CONTROLLERS:PATH". The line of cgroup v2, "0::/...", counts. Where it is
// absent or names the root, systemd runs on cgroup v1 and keeps its units in the
// hierarchy "name=systemd". A process in no unit has none, and that is no error.
func unitOf(cgroup []byte) (string, error) {
	var v2, v1 string
	for line := range bytes.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 {
			return "", fmt.Errorf("/proc/PID/cgroup: found the line %q, want ID:CONTROLLERS:PATH", line)
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			v2 = parts[2]
		case parts[1] == "name=systemd":
			v1 = parts[2]
		}
	}
	if v2 == "" || v2 == "/" {
		return unitOfPath(v1), nil
	}
	return unitOfPath(v2), nil
}

// unitOfPath is the unit that owns a cgroup, by the rule of sd_pid_get_unit(3):
// what stands after the slices at the beginning of the path. Those folders are
// systemd's own. What comes after the first unit is not: a service with Delegate=,
// a user's own manager or a container makes cgroups there with any names it likes,
// and they all belong to that unit. So a service of a user is
// "user@1000.service", whatever it is called, and a login is "session-3.scope".
func unitOfPath(path string) string {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return ""
	}
	for name := range strings.SplitSeq(rest, "/") {
		name = strings.TrimPrefix(name, "_") // systemd's escape of names that the kernel could use itself
		if !isUnitName(name) {
			return ""
		}
		switch filepath.Ext(name) {
		case ".slice":
			continue
		case ".service", ".scope":
			return name
		}
		return ""
	}
	return ""
}

// maxUnitName is systemd's UNIT_NAME_MAX less the closing NUL.
const maxUnitName = 255

// isUnitName reports whether systemd would take the name for that of a unit that
// can run: characters of systemd.unit(5), not a template ("runner@.service").
func isUnitName(name string) bool {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if len(name) > maxUnitName || stem == "" || strings.HasPrefix(stem, "@") || strings.HasSuffix(stem, "@") && strings.Count(stem, "@") == 1 {
		return false
	}
	return strings.IndexFunc(name, func(c rune) bool {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			return false
		}
		return !strings.ContainsRune(`:-_.\@`, c)
	}) < 0
}

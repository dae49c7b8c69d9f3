package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/bundlesign/bundlesign/capgo"
)

// NoZip is the last part of the url of an update that has a manifest and no zip.
// Nothing is there: updaters want an address, and do not use it if there is a
// manifest. Capgo's own server does the same.
const NoZip = "this-update-has-no.zip"

// UpdateJSON returns the answer of a self-hosted update server, ready to be
// served as it is. It refuses what the updater on a phone refuses, and what would
// have it do something else than to install this update:
//
//   - without url both Android and iOS end with "Error no url or wrong format",
//     also if there is a manifest; an update that has only a manifest gets the
//     address of [NoZip] beside its files.
//   - without session_key updaters before 8.51.23 install what nobody signed.
//   - with a manifest iOS still opens the checksum, and stops if it is none.
//   - the version "builtin" goes back to the app of the store.
//
// The updater also knows link and comment, for people, and error, kind and
// message, for "no update". None of them is part of an update.
func UpdateJSON(u *capgo.Update) ([]byte, error) {
	full := *u
	if full.URL == "" {
		if len(full.Manifest) == 0 {
			return nil, errors.New("update: found neither url nor manifest: there is nothing to download")
		}
		first := full.Manifest[0].DownloadURL
		if err := CheckURL(first); err != nil {
			return nil, fmt.Errorf("manifest[0]: download_%w", err)
		}
		full.URL = first[:strings.LastIndexByte(first, '/')+1] + NoZip
	}
	if err := checkUpdate(&full); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // an address with & in it stays readable
	enc.SetIndent("", "  ")
	if err := enc.Encode(&full); err != nil {
		return nil, err
	}
	// What is written is read as verify reads it.
	if _, err := capgo.ParseUpdate(buf.Bytes()); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// checkUpdate looks at what [capgo.ParseUpdate] leaves to others.
func checkUpdate(u *capgo.Update) error {
	if err := CheckVersion(u.Version); err != nil {
		return err
	}
	if err := CheckURL(u.URL); err != nil {
		return err
	}
	format, err := checkSigned(u.Checksum, u.SessionKey)
	if err != nil {
		return err
	}
	for i, e := range u.Manifest {
		if err := checkEntry(&e, format); err != nil {
			return fmt.Errorf("manifest[%d] (%.100q): %w", i, e.FileName, err)
		}
	}
	return nil
}

func checkEntry(e *capgo.ManifestEntry, format capgo.ChecksumFormat) error {
	_, found, err := capgo.ParseChecksum(e.FileHash)
	if err != nil {
		return fmt.Errorf("file_hash: %w", err)
	}
	if found != format {
		return fmt.Errorf("file_hash: found the %s form, but the checksum of the update has the %s form", found, format)
	}
	if err := CheckURL(e.DownloadURL); err != nil {
		return fmt.Errorf("download_%w", err)
	}
	return nil
}

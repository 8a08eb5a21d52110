package cli

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"banyan/cmd/config"
	"banyan/realm/auth"
)

// keys are what a configuration needs besides its text: files with secrets, key sets of tokens, and the key of mock
// challenges. One is made for each configuration. Only the goroutine that starts or reloads uses it; key sets that it
// hands out are for any goroutine.
type keys struct {
	log     *slog.Logger
	offline bool          // nothing is fetched: the configuration is only checked
	cookies *auth.Cookies // the same as long as the router runs
	mock    []byte        // nil if there is no folder to keep it in
	sets    map[setName]*keySet
	old     map[setName]*keySet // those of the configuration before
}

// newKeys prepares keys for f. before are those of the configuration in force, or nil: key sets that both need stay.
func newKeys(f *config.File, before *keys, log *slog.Logger) (*keys, error) {
	k := &keys{log: log, sets: map[setName]*keySet{}}
	if before != nil {
		k.old, k.cookies = before.sets, before.cookies
	} else {
		k.cookies = auth.NewCookies(f.Cookies.EntriesMax, f.Cookies.MaxAge)
	}
	dir := f.Process.DataDir
	if dir == "" {
		return k, nil
	}
	if err := makeDataDir(dir); err != nil {
		return nil, err
	}
	var err error
	k.mock, err = lastingKey(filepath.Join(dir, mockKeyFile))
	return k, err
}

// accept ends the key sets that are not needed any more: these keys are in force.
func (k *keys) accept() { endSets(k.old, k.sets) }

// refuse ends the key sets that were made for these keys: those before stay in force.
func (k *keys) refuse() { endSets(k.sets, k.old) }

// endSets ends the key sets that are in all and not in kept.
func endSets(all, kept map[setName]*keySet) {
	for name, s := range all {
		if kept[name] != s {
			s.end()
		}
	}
}

// makeDataDir makes the folder for what the router keeps, with mode 0700, unless it is there.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &hintedError{
			code: exitFailed, what: "cannot make the folder process.data_dir " + dir, why: cause(err),
			try: "make it, and let the user of the router own it",
		}
	}
	return nil
}

// mockKeyFile is the file in process.data_dir from which mock challenges are made, so that they stay the same.
const mockKeyFile = "mock.key"

const mockKeyBytes = 32

// lastingKey reads a key of random bytes in hex, or makes it with mode 0600 if it is not there. A folder that cannot
// be written to, or a full disk, does not matter once there is one.
func lastingKey(path string) ([]byte, error) {
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, &hintedError{
				code: exitFailed, what: "cannot keep a key in " + path, why: cause(err),
				try: "let the user of the router write to the folder, and see that the disk has room",
			}
		}
		text, err = readSecret(path)
	}
	var key []byte
	if err == nil {
		key, err = hex.DecodeString(text)
		if err != nil || len(key) != mockKeyBytes {
			err = fmt.Errorf("it does not hold %d bytes in hex", mockKeyBytes)
		}
	}
	if err != nil {
		return nil, &hintedError{
			code: exitFailed, what: "cannot use the key in " + path, why: cause(err),
			try: "remove the file, or let the user of the router own it",
		}
	}
	return key, nil
}

// makeKey makes a key in path. The file is complete when it gets its name: another process may be doing the same, and
// then the first one counts.
func makeKey(path string) error {
	key := make([]byte, mockKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	made := fmt.Sprintf("%s.%x", path, key[:8])
	defer os.Remove(made)
	if err := os.WriteFile(made, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Link(made, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// mockFor is the key for the mock challenges of a realm, nil for one of the process. Realms have different ones, so
// that a user of one realm looks no different in another.
func (k *keys) mockFor(realm string) []byte {
	if k.mock == nil {
		return nil
	}
	key, err := hkdf.Key(sha256.New, k.mock, nil, "mock challenges of "+realm, mockKeyBytes)
	if err != nil {
		panic(err) // of constants
	}
	return key
}

// secret reads a file with one secret. White space around it does not count.
func (k *keys) secret(path string) (string, error) { return readSecret(path) }

// secretBytesMax is the longest file with a secret, in bytes, as for config. Longer: an error.
const secretBytesMax = 64 << 10

// readSecret reads a file with one secret, without the white space around it. It does not wait for pipes. The error
// names the file and quotes nothing of it.
func readSecret(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretBytesMax+1))
	switch secret := strings.TrimSpace(string(text)); {
	case err != nil:
		return "", err
	case len(text) > secretBytesMax:
		return "", fmt.Errorf("%s has more than %d bytes", path, secretBytesMax)
	case secret == "":
		return "", fmt.Errorf("%s is empty", path)
	default:
		return secret, nil
	}
}

// cause is an error of the file system without the path, which the message has already.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

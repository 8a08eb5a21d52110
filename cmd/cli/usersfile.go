package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"go.yaml.in/yaml/v4"
)

// A usersFile is a file with users, in the form of the option users, while a command changes it. Comments stay.
type usersFile struct {
	path string
	root *yaml.Node // a section: users by authid
}

// usersFileBytesMax is the longest users file that is changed, in bytes, as long as one that is read. Longer: an
// error.
const usersFileBytesMax = 8 << 20

// openUsers reads a users file. One that is not there has no users.
func openUsers(path string) (*usersFile, error) {
	u := &usersFile{path: path, root: &yaml.Node{Kind: yaml.MappingNode}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, usersFileBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > usersFileBytesMax {
		return nil, fmt.Errorf("%s has more than %d bytes", path, usersFileBytesMax)
	}
	var doc yaml.Node
	if len(bytes.TrimSpace(text)) == 0 {
		return u, nil
	}
	if err := yaml.Load(text, &doc); err != nil || len(doc.Content) != 1 {
		return nil, fmt.Errorf("%s is no YAML; banyan check says where", path)
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s does not hold users by their authid", path)
	}
	u.root = doc.Content[0]
	return u, nil
}

// has reports whether there is a user of that name.
func (u *usersFile) has(authid string) bool { return valueOf(u.root, authid) != nil }

// change puts the keys of entry into those of a user, in place of those with the same names. A list of keys for
// cryptosign grows instead. A user who shares something with others by aliases is refused: they would get it too, or
// lose it.
func (u *usersFile) change(authid string, entry *yaml.Node) error {
	user := valueOf(u.root, authid)
	if user == nil {
		u.root.Content = append(u.root.Content, textNode(authid), entry)
		return nil
	}
	if user.Kind != yaml.MappingNode || aliased(u.root, nodesIn(user, map[*yaml.Node]bool{})) {
		return &hintedError{
			code: exitFailed, what: authid + " in " + u.path + " is no section, or is shared by aliases (& and *)",
			try: "write for each user what is its own",
		}
	}
	for i := 0; i+1 < len(entry.Content); i += 2 {
		key, value := entry.Content[i], entry.Content[i+1]
		switch old := valueOf(user, key.Value); {
		case old == nil:
			user.Content = append(user.Content, key, value)
		case old.Kind == yaml.SequenceNode && value.Kind == yaml.SequenceNode:
			old.Content = append(old.Content, value.Content...)
		default:
			*old = *value
		}
	}
	return nil
}

// nodesIn adds a node and all below it to a set.
func nodesIn(n *yaml.Node, all map[*yaml.Node]bool) map[*yaml.Node]bool {
	all[n] = true
	for _, c := range n.Content {
		nodesIn(c, all)
	}
	return all
}

// aliased reports whether an alias in n leads to one of these nodes.
func aliased(n *yaml.Node, to map[*yaml.Node]bool) bool {
	if n.Kind == yaml.AliasNode {
		return to[n.Alias]
	}
	return slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return aliased(c, to) })
}

// write writes the file as replaceFile does.
func (u *usersFile) write() error {
	text, err := yaml.Dump(u.root, yaml.WithIndent(2))
	if err != nil {
		return err
	}
	return replaceFile(u.path, text)
}

// replaceFile writes a file with secrets in one step: a reader sees the old one or the new one. A new one has mode
// 0600, another one keeps its owner and group, so that the router can still read what root has changed, and its mode
// without what it grants to everybody. A symbolic link stays, and what it leads to is replaced.
func replaceFile(path string, text []byte) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o600)
	owner, group := os.Getuid(), os.Getgid()
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm() &^ 0o007
		if sys, ok := info.Sys().(*syscall.Stat_t); ok {
			owner, group = int(sys.Uid), int(sys.Gid)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err := f.Chown(owner, group); err != nil {
		f.Close()
		return &hintedError{
			code: exitFailed, what: "cannot leave " + path + " to its owner and group", why: cause(err),
			try: "run this as the user to whom the file belongs",
		}
	}
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// valueOf finds the value of a key of a section, nil if there is none.
func valueOf(section *yaml.Node, key string) *yaml.Node {
	if section.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(section.Content); i += 2 {
		if section.Content[i].Value == key {
			return section.Content[i+1]
		}
	}
	return nil
}

// textNode is a text, in quotes if YAML would take it for something else.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// A yamlEntry is a section in the making. Keys keep their order.
type yamlEntry struct{ *yaml.Node }

func newEntry() yamlEntry { return yamlEntry{&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}} }

func (e yamlEntry) put(key string, value *yaml.Node) yamlEntry {
	e.Content = append(e.Content, textNode(key), value)
	return e
}

func (e yamlEntry) text(key, value string) yamlEntry { return e.put(key, textNode(value)) }

func (e yamlEntry) number(key string, n int) yamlEntry {
	return e.put(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(n)})
}

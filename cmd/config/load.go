//go:build linux

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"
)

// A File is a configuration that was read and has no error. It does not change.
type File struct {
	*Config
	// Path is the file that was read; empty for the built-in configuration.
	Path string
	// Sources are the files that it was made of: the file itself, users files, and the first secretsWatched files
	// with secrets. The engine looks at certificates by itself.
	Sources []string
	// Hash names the texts that it was made of, overrides included, in 64 hex digits. Files that certificates and
	// secrets are in do not count.
	Hash string
	// Texts names the texts of Sources as they were read: Texts(Sources) is the same until one of them changes.
	Texts string

	origins map[string]Origin
	// contents are the hashes of the files with certificates and keys of tokens, and of the files with secrets that
	// are among Sources, by path, for Diff.
	contents map[string][sha256.Size]byte
}

// WithoutUsers is the configuration without users: what a reload changes anyway, and most of the memory.
func (f *File) WithoutUsers() *File {
	c := *f.Config
	c.Realms, c.Templates = slices.Clone(c.Realms), slices.Clone(c.Templates)
	each(&c, func(_ string, rm *Realm, _ string) { rm.Users = nil })
	lean := *f
	lean.Config = &c
	return &lean
}

// An Override is a value from the command line, which wins over the environment and the file.
type Override struct {
	// Path is such as listeners.0.address. Entries count from 0, the number behind the last adds one, and * stands
	// for every entry that is there. A step with dots stands in quotes: realms.0.users."a.b".role.
	Path   string
	Value  string // lists are separated by commas, or in YAML's brackets
	Source string // what to call it, such as "--listen"; empty is "--set PATH"
}

// A Loader reads configurations. The zero value reads a file without environment and overrides.
type Loader struct {
	Env       []string // NAME=value, as os.Environ returns it
	Overrides []Override
	Now       time.Time // for the dates of certificates; zero is the present
	FilesMax  int       // how many files the process may have open; 0 asks the system
	CPUs      int       // how many CPUs there are; 0 asks the system
	Lean      bool      // do not keep where each user is from, which only Show and Values tell: 190 bytes a user

	read func(path string, most int64) ([]byte, fs.FileInfo, error) // nil: readFile
}

// Load reads the file at path with an environment (os.Environ) and overrides. An empty path is the built-in
// configuration: 127.0.0.1:8080, realm1, anonymous clients of this machine. The File is nil if the report has an
// error.
func Load(path string, env []string, overrides []Override) (*File, *Report) {
	l := Loader{Env: env, Overrides: overrides}
	return l.Load(path)
}

// Load reads the file at path.
func (l *Loader) Load(path string) (*File, *Report) {
	ld := l.begin()
	if path == "" {
		return ld.finish("", "", nil, nil)
	}
	text, info, err := ld.readFile(path, fileBytesMax)
	if err != nil {
		ld.r.add(Problem{Severity: Error, File: path, Message: reason(err), Hint: "give another file with --config"})
		return nil, ld.r
	}
	return ld.finish(path, filepath.Dir(path), text, info)
}

// Socket is the path of the control socket that the file at path names, even if the file has errors elsewhere. It is
// empty if there is none, or if it cannot be read.
func (l *Loader) Socket(path string) string {
	ld := l.begin()
	if path == "" {
		ld.finish("", "", nil, nil)
	} else if text, info, err := ld.readFile(path, fileBytesMax); err == nil {
		ld.finish(path, filepath.Dir(path), text, info)
	}
	return ld.file.Process.Socket()
}

// Parse reads text as the content of a file called name. Paths in it are relative to dir.
func (l *Loader) Parse(name, dir string, text []byte) (*File, *Report) {
	return l.begin().finish(name, dir, text, nil)
}

// builtInText stands for sections that a file does not have.
const builtInText = `
listeners:
  - address: 127.0.0.1:8080
realms:
  - uri: realm1
    auth:
      anonymous: { role: anonymous, from: [local] }
    roles:
      - name: anonymous
        permissions:
          - { uri: "", match: prefix, allow: [call, register, publish, subscribe] }
`

// builtIn is the source of values of builtInText.
const builtIn = "built in"

// A loading is one run of a Loader.
type loading struct {
	*Loader
	r     *Report
	env   map[string]string
	given map[*yaml.Node]string
	main  *document
	users map[string]*document // by the path of the realm or template
	hash  hash.Hash
	texts hash.Hash // of Sources
	// secrets are the files with secrets that values name: the first of them, in their order, and how many there are.
	secrets      []string
	secretsNamed map[string]bool
	file         *File
	used         map[string]bool // variables that values ask for

	unread map[string]bool // paths of values that have an error by themselves
	around map[string]bool // paths of what such values are in
}

func (l *Loader) begin() *loading {
	ld := &loading{
		Loader: l, r: &Report{order: map[string]int{}}, env: map[string]string{},
		given: map[*yaml.Node]string{}, users: map[string]*document{}, hash: sha256.New(),
		texts: sha256.New(), used: map[string]bool{},
		file:   &File{Config: &Config{}, contents: map[string][sha256.Size]byte{}},
		unread: map[string]bool{}, around: map[string]bool{}, secretsNamed: map[string]bool{},
	}
	for _, e := range l.Env {
		if name, value, ok := strings.Cut(e, "="); ok {
			ld.env[name] = value
		}
	}
	return ld
}

// finish reads text in this order: form, overrides, values, users files, and rules between values. info is that of
// the file, nil if there is none.
func (ld *loading) finish(name, dir string, text []byte, info fs.FileInfo) (*File, *Report) {
	f := ld.file
	f.Path = name
	if name != "" {
		f.Sources = append(f.Sources, name)
		addText(ld.texts, text, nil)
	}
	fmt.Fprintf(ld.hash, "%d\n%s", len(text), text)
	defer ld.r.finish()
	ld.r.order[name] = 1
	doc, ok := parse(name, dir, text, ld.r)
	if !ok {
		return nil, ld.r
	}
	ld.main = doc
	if doc.root == nil {
		doc.root = &yaml.Node{Kind: yaml.MappingNode}
	}
	ld.addBuiltIn()
	ld.override()
	d := ld.decoder(doc)
	root().setDefaults(reflect.ValueOf(f.Config).Elem())
	d.section(root(), doc.root, reflect.ValueOf(f.Config).Elem())
	d.hideRest()
	f.origins = d.origins
	ld.noteErrors()
	each(f.Config, func(_ string, rm *Realm, _ string) {
		if world(info) && hasKeys(rm.Users) {
			ld.everybodyReads(name)
			info = nil
		}
	})
	ld.readUsers()
	ld.readSecrets()
	ld.noteErrors()
	ld.unknownVariables()
	(&checker{loading: ld, cfg: f.Config}).check()
	if ld.r.Errors > 0 {
		return nil, ld.r
	}
	f.Hash = hex.EncodeToString(ld.hash.Sum(nil))
	f.Texts = hex.EncodeToString(ld.texts.Sum(nil))
	return f, ld.r
}

// Texts names what is in files now, in 64 hex digits: other texts, other digits. Files that cannot be read count as
// well.
func Texts(paths []string) string {
	h := sha256.New()
	for _, path := range paths {
		text, _, err := readFile(path, fileBytesMax)
		addText(h, text, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func addText(h hash.Hash, text []byte, err error) {
	fmt.Fprintf(h, "%d %v\n", len(text), err)
	h.Write(text)
}

// noteErrors keeps which values could not be read.
func (ld *loading) noteErrors() {
	for _, p := range ld.r.Problems {
		if p.Severity != Error || p.Path == "" && p.Source != "" {
			continue
		}
		ld.unread[p.Path] = true
		for i, c := range p.Path {
			if c == '.' {
				ld.around[p.Path[:i]] = true
			}
		}
	}
}

func (ld *loading) decoder(doc *document) *decoder {
	return &decoder{
		r: ld.r, doc: doc, lookup: ld.variable, given: ld.given, origins: map[string]Origin{}, lean: ld.Lean,
		nameSecret: ld.nameSecret,
	}
}

func (ld *loading) variable(name string) (string, bool) {
	v, ok := ld.env[name]
	ld.used[name] = true
	fmt.Fprintf(ld.hash, "%s=%s\n", name, v)
	return v, ok
}

// addBuiltIn adds the sections that are there even in an empty file.
func (ld *loading) addBuiltIn() {
	top := ld.main.root
	if top.Kind != yaml.MappingNode {
		return
	}
	var node yaml.Node
	if err := yaml.Load([]byte(builtInText), &node); err != nil {
		panic(err)
	}
	has := map[string]bool{}
	for i := 0; i < len(top.Content); i += 2 {
		has[top.Content[i].Value] = true
	}
	own := node.Content[0].Content
	for i := 0; i+1 < len(own); i += 2 {
		// Who has templates needs no realm besides.
		if key := own[i].Value; has[key] || key == "realms" && has["templates"] {
			continue
		}
		ld.mark(own[i], builtIn)
		ld.mark(own[i+1], builtIn)
		top.Content = append(top.Content, own[i], own[i+1])
	}
}

// mark says where a node and all below it are from.
func (ld *loading) mark(n *yaml.Node, source string) {
	ld.given[n] = source
	for _, c := range n.Content {
		ld.mark(c, source)
	}
}

// readUsers reads the users files.
func (ld *loading) readUsers() {
	files := 0
	each(ld.file.Config, func(path string, rm *Realm, _ string) {
		if rm.UsersFile == "" {
			return
		}
		at := path + ".users_file"
		if files++; files > usersFilesMax {
			if files == usersFilesMax+1 {
				ld.at(Error, at, fmt.Sprintf("there are more than %d users files", usersFilesMax), "")
			}
			return
		}
		text, info, err := ld.readFile(rm.UsersFile, fileBytesMax)
		if err != nil {
			ld.at(Error, at, rm.UsersFile+": "+reason(err), "")
			return
		}
		if _, ok := ld.r.order[rm.UsersFile]; !ok {
			ld.r.order[rm.UsersFile] = len(ld.r.order) + 1
			ld.file.Sources = append(ld.file.Sources, rm.UsersFile)
			addText(ld.texts, text, nil)
		}
		fmt.Fprintf(ld.hash, "%d\n%s", len(text), text)
		doc, ok := parse(rm.UsersFile, filepath.Dir(rm.UsersFile), text, ld.r)
		if !ok {
			return
		}
		ld.users[path] = doc
		if doc.root == nil {
			return
		}
		more := ld.addUsers(path, rm, doc)
		if world(info) && hasKeys(more) {
			ld.everybodyReads(doc.name)
		}
	})
}

// readSecrets adds the files with secrets to the sources. Whether they are good is found out when they are used.
func (ld *loading) readSecrets() {
	for _, path := range ld.secrets {
		text, _, err := ld.readFile(path, fileBytesMax)
		ld.file.Sources = append(ld.file.Sources, path)
		addText(ld.texts, text, err)
		ld.file.contents[path] = sha256.Sum256(text)
	}
	if n := len(ld.secretsNamed); n > secretsWatched && ld.file.Process.Watch > 0 {
		ld.at(Warning, "process.watch", fmt.Sprintf("of %d files with secrets only the first %d are looked at", n,
			secretsWatched), "say banyan reload after a change of the others")
	}
}

// nameSecret takes note of a file with a secret.
func (ld *loading) nameSecret(path string) {
	if path == "" || ld.secretsNamed[path] {
		return
	}
	ld.secretsNamed[path] = true
	if len(ld.secrets) < secretsWatched {
		ld.secrets = append(ld.secrets, path)
	}
}

// addUsers adds the users of a file to those of a realm.
func (ld *loading) addUsers(path string, rm *Realm, doc *document) map[string]User {
	more := map[string]User{}
	d := ld.decoder(doc)
	d.path = append(strings.Split(path, "."), "users")
	d.dict(root().byKey["realms"].item.byKey["users"], doc.root, reflect.ValueOf(&more).Elem())
	d.hideRest()
	for at, o := range d.origins {
		ld.file.origins[at] = o
	}
	if rm.Users == nil {
		rm.Users = more
		return more
	}
	for name, u := range more {
		if _, ok := rm.Users[name]; ok {
			if n := child(doc.root, name, true); n != nil {
				ld.r.add(doc.problem(Error, n.Line, n.Column, path+".users."+name, "the user "+quote(name)+
					" is in "+ld.main.name+" too", "remove one of them"))
			}
			continue
		}
		rm.Users[name] = u
	}
	return more
}

// everybodyReads warns of a file with secrets that is open to all.
func (ld *loading) everybodyReads(file string) {
	ld.r.add(Problem{
		Severity: Warning, File: file, Message: "everybody on this machine can read this file, " +
			"and who reads a wampcra key can log in", Hint: "chmod 600 " + file,
	})
}

// hasKeys reports whether a user has a key with which one can log in.
func hasKeys(users map[string]User) bool {
	for _, u := range users {
		if u.WAMPCRA != nil && u.WAMPCRA.Key != "" {
			return true
		}
	}
	return false
}

// each calls f for every realm and every template, with its path and, for a template, how its URI is meant.
func each(c *Config, f func(path string, rm *Realm, match string)) {
	for i := range c.Realms {
		f(fmt.Sprintf("realms.%d", i), &c.Realms[i], "")
	}
	for i := range c.Templates {
		f(fmt.Sprintf("templates.%d", i), &c.Templates[i].Realm, c.Templates[i].Match)
	}
}

// at reports a problem between values, at the one at path, which may be missing: then at what is around it. It says
// nothing if something at path, in it or around it could not be read.
func (ld *loading) at(s Severity, path, message, hint string) {
	if ld.unread[""] || ld.unread[path] || ld.around[path] {
		return
	}
	for i, c := range path {
		if c == '.' && ld.unread[path[:i]] {
			return
		}
	}
	if !ld.r.keeps(s) {
		ld.r.add(Problem{Severity: s})
		return
	}
	doc, n := ld.find(path, false)
	ld.r.add(problemAt(s, doc, ld.given, n, path, message, hint))
}

// find returns the node at path, or the closest one above it, and the document it is in.
func (ld *loading) find(path string, exact bool) (*document, *yaml.Node) {
	doc, n := ld.main, ld.main.root
	steps := strings.Split(path, ".")
	for i := 0; i < len(steps); i++ {
		var c *yaml.Node
		if i == 3 && steps[2] == "users" { // an authid may have dots
			for k := len(steps); k > 3 && c == nil; k-- {
				var in *document
				if in, c = ld.findUser(strings.Join(steps[:2], "."), n, strings.Join(steps[3:k], ".")); c != nil {
					doc, i = in, k-1
				}
			}
		} else {
			if c = child(n, steps[i], false); c == nil && i == 2 && steps[2] == "users" {
				continue // all users may be in the file of users
			}
		}
		if c == nil {
			if exact {
				return doc, nil
			}
			return doc, n
		}
		n = c
	}
	return doc, n
}

// findUser finds a user of a realm, whose own users are in n.
func (ld *loading) findUser(realm string, n *yaml.Node, name string) (*document, *yaml.Node) {
	if c := child(n, name, false); c != nil {
		return ld.main, c
	}
	if u := ld.users[realm]; u != nil {
		return u, child(u.root, name, false)
	}
	return nil, nil
}

// child finds the value of a key, or the key itself, or an entry by its number; nil if there is none.
func child(n *yaml.Node, step string, key bool) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < mergeDepthMax; i++ {
		n = n.Alias
	}
	if n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				if key {
					return n.Content[i]
				}
				return n.Content[i+1]
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if m := n.Content[i+1]; n.Content[i].Value == "<<" && m.Kind == yaml.AliasNode && m.Alias != n {
				if c := child(m, step, key); c != nil {
					return c
				}
			}
		}
	case yaml.SequenceNode:
		var i int
		if _, err := fmt.Sscanf(step, "%d", &i); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// has reports whether somebody has said what the value at path is.
func (ld *loading) has(path string) bool {
	_, n := ld.find(path, true)
	return n != nil && ld.given[n] != builtIn
}

// readFile reads a file that a configuration names.
func (ld *loading) readFile(path string, most int64) ([]byte, fs.FileInfo, error) {
	if ld.read != nil {
		return ld.read(path, most)
	}
	return readFile(path, most)
}

// readFile reads a regular file of at most so many bytes. It does not wait for pipes and devices.
func readFile(path string, most int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, errors.New("this is a folder")
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("this is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("the file is longer than %s", Bytes(most))
	}
	return text, info, err
}

// reason is an error of the file system without the path, which the message has already.
func reason(err error) string {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// world reports whether everybody may read a file.
func world(info fs.FileInfo) bool { return info != nil && info.Mode().Perm()&0o004 != 0 }

//go:build linux

package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A kind is what a value is.
type kind uint8

const (
	section kind = iota // a struct, or a pointer to one: nil is off
	list                // of sections
	dict                // of sections, by a name that the operator chooses
	words               // a list of texts
	text                // one text
	boolean
	count
	size
	duration
	free // anything that JSON can say
)

// An option is one key of the configuration, or a section of them. Options are read from the struct types once:
//
//	yaml      the key
//	default   what stands for a missing key; "" for text and lists is a default too
//	required  the key must be there; empty says that an empty text is a value
//	auto      a word that stands for the zero value
//	zero      0 is allowed, and means this
//	min, max  bounds of a number, or the number of entries of a list; least is the fewest of these
//	enum      the words that are allowed; @methods and such are long lists, see enums
//	form      what a text has to be; see forms
//	reload    live or restart; what is inside has the same unless it says otherwise
//	secret    mask: never shown; key: moreover, who reads the file can log in
type option struct {
	key  string
	name string // Type.Field, where its comment is
	path string // from the root, with * for entries
	kind kind
	typ  reflect.Type // of the value, without pointer
	ptr  bool
	doc  string

	text     string // the default, as written
	isSet    bool   // has a default
	required bool
	empty    bool
	auto     string
	zero     string
	min, max int64 // of numbers in their own unit, or the most entries of a list
	least    int
	bounds   [2]string // as written
	enum     []string
	form     string
	live     bool
	secret   string

	index  []int // of the field in the parent
	fields []*option
	byKey  map[string]*option
	item   *option // of a list or dict
}

// enums are the lists of words that several options share.
var enums = map[string][]string{
	"@methods": {"anonymous", "ticket", "wampcra", "wamp-scram", "scram", "cryptosign", "tls", "cookie"},
	"@asked":   {"ticket", "wampcra", "wamp-scram", "scram", "cryptosign", "anonymous", "tls"},
	"@algorithms": {
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	},
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	bytesType    = reflect.TypeFor[Bytes]()
)

// root returns the option that holds all others.
var root = sync.OnceValue(func() *option {
	o := &option{kind: section, typ: reflect.TypeFor[Config](), live: true}
	o.readFields(o.typ, nil)
	return o
})

// readFields reads the options of a struct type. A broken tag is a bug of ours and panics.
func (o *option) readFields(t reflect.Type, at []int) {
	if o.byKey == nil {
		o.byKey = map[string]*option{}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int{}, at...), i)
		if f.Anonymous {
			o.readFields(f.Type, index)
			continue
		}
		if !f.IsExported() {
			continue
		}
		c := newOption(o, f, t.Name(), index)
		if o.byKey[c.key] != nil {
			panic("two options are called " + c.path)
		}
		o.byKey[c.key] = c
		o.fields = append(o.fields, c)
	}
}

func newOption(parent *option, f reflect.StructField, owner string, index []int) *option {
	tag := f.Tag
	c := &option{
		key: tag.Get("yaml"), name: owner + "." + f.Name, index: index, typ: f.Type,
		required: tag.Get("required") != "", empty: tag.Get("empty") != "", auto: tag.Get("auto"),
		zero: tag.Get("zero"), form: tag.Get("form"), live: parent.live, secret: tag.Get("secret"),
		min: math.MinInt64, max: math.MaxInt64, bounds: [2]string{tag.Get("min"), tag.Get("max")},
	}
	c.path = strings.TrimPrefix(parent.path+"."+c.key, ".")
	c.text, c.isSet = tag.Lookup("default")
	c.doc = comments[c.name]
	if e := tag.Get("enum"); e != "" {
		if c.enum = enums[e]; c.enum == nil {
			c.enum = strings.Split(e, ",")
		}
	}
	if r := tag.Get("reload"); r != "" {
		c.live = r == "live"
	}
	if n := tag.Get("least"); n != "" {
		c.least, _ = strconv.Atoi(n)
	}
	c.kind = kindOf(c)
	switch c.kind {
	case section:
		c.readFields(c.typ, nil)
	case list, dict:
		e := &option{kind: section, typ: c.typ.Elem(), live: c.live, path: c.path + ".*", doc: c.doc}
		e.readFields(e.typ, nil)
		c.item = e
	}
	c.min, c.max = c.bound(0, c.min), c.bound(1, c.max)
	if c.kind == duration && c.bounds[1] == "" {
		c.max = int64(24 * time.Hour) // what is longer is a mistake
	}
	return c
}

// kindOf says what c's Go type holds, and takes a pointer off.
func kindOf(c *option) kind {
	if c.typ.Kind() == reflect.Pointer {
		c.ptr, c.typ = true, c.typ.Elem()
	}
	switch t := c.typ; {
	case t == durationType:
		return duration
	case t == bytesType:
		return size
	case t.Kind() == reflect.Int:
		return count
	case t.Kind() == reflect.Bool:
		return boolean
	case t.Kind() == reflect.String:
		return text
	case t.Kind() == reflect.Struct:
		return section
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return words
	case t.Kind() == reflect.Slice:
		return list
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface:
		return free
	case t.Kind() == reflect.Map:
		return dict
	}
	panic("no kind of option: " + c.name)
}

// bound reads a bound as it stands in the tag.
func (o *option) bound(i int, none int64) int64 {
	if o.bounds[i] == "" {
		return none
	}
	n, err := o.number(o.bounds[i])
	if err != nil {
		panic(o.name + ": " + err.Error())
	}
	return n
}

// number reads the text of a number, a size or a time.
func (o *option) number(t string) (int64, error) {
	switch o.kind {
	case size:
		b, err := ParseBytes(t)
		if err != nil {
			return 0, fmt.Errorf("expected a size in B, KiB, MiB or GiB, such as 64KiB or 1MiB, %s, got %s",
				o.allowed(), quote(t))
		}
		return int64(b), nil
	case duration:
		if t == "0" {
			return 0, nil
		}
		d, err := time.ParseDuration(t)
		if err != nil {
			return 0, fmt.Errorf("expected a time like 500ms, 10s or 2m %s, got %s", o.allowed(), quote(t))
		}
		return int64(d), nil
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("expected a whole number %s, got %s", o.allowed(), quote(t))
	}
	return n, nil
}

// allowed describes the values of a number.
func (o *option) allowed() string {
	var s string
	switch least, most := o.bounds[0], o.bounds[1]; {
	case least == most:
		s = "that is " + least
	case o.kind == duration && most == "":
		s = "from " + least + " to 24h"
	case most == "":
		s = "of at least " + least
	default:
		s = "from " + least + " to " + most
	}
	if o.zero != "" {
		s += ", or 0 (" + o.zero + ")"
	}
	if o.auto != "" {
		s += ", or " + o.auto
	}
	return s
}

// what describes the kind of an option to people.
func (o *option) what() string {
	switch o.kind {
	case section:
		return "a section with keys"
	case list:
		return "a list of sections"
	case dict:
		return "a section with a key for each entry"
	case words:
		return "a list of texts"
	case boolean:
		return "true or false"
	case count:
		return "a whole number " + o.allowed()
	case size:
		return "a size such as 64KiB or 1MiB " + o.allowed()
	case duration:
		return "a time such as 500ms, 10s or 2m " + o.allowed()
	case free:
		return "a section with any keys"
	}
	if o.enum != nil {
		return orList(o.enum)
	}
	return "a text"
}

// holdsSecrets reports whether an option, or one in it, is a secret.
func (o *option) holdsSecrets() bool {
	return o.secret != "" || o.item != nil && o.item.holdsSecrets() ||
		slices.ContainsFunc(o.fields, (*option).holdsSecrets)
}

// setDefaults gives v, of o's struct type, all defaults.
func (o *option) setDefaults(v reflect.Value) {
	for _, c := range o.fields {
		c.setDefault(v.FieldByIndex(c.index))
	}
}

func (o *option) setDefault(v reflect.Value) {
	switch {
	case o.ptr, !o.isSet && o.kind != section:
		v.SetZero()
	case o.kind == section:
		o.setDefaults(v)
	default:
		if err := o.set(v, o.text); err != nil {
			panic(o.name + ": the default is wrong: " + err.Error())
		}
	}
}

// set gives v the value of a text, checked for itself alone. The error says what was expected.
func (o *option) set(v reflect.Value, t string) error {
	if o.auto != "" && t == o.auto {
		v.SetZero()
		return nil
	}
	switch o.kind {
	case boolean:
		if t != "true" && t != "false" {
			return fmt.Errorf("expected true or false, got %s", o.quote(t))
		}
		v.SetBool(t == "true")
	case count, size, duration:
		n, err := o.number(t)
		switch {
		case err != nil:
			return err
		case n == 0 && o.zero != "":
		case n < o.min || n > o.max:
			return fmt.Errorf("%s is out of bounds: expected %s", t, o.what())
		}
		v.SetInt(n)
	case text:
		if err := o.checkText(t); err != nil {
			return err
		}
		if i := slices.Index(o.enum, t); i >= 0 {
			t = o.enum[i] // many users share it
		}
		v.SetString(t)
	case words:
		var all []string
		for w := range strings.SplitSeq(t, ",") {
			if w = strings.TrimSpace(w); w == "" && strings.TrimSpace(t) == "" {
				break
			}
			if err := o.checkText(w); err != nil {
				return err
			}
			all = append(all, w)
		}
		v.Set(reflect.ValueOf(all))
	default:
		return fmt.Errorf("expected %s", o.what())
	}
	return nil
}

// quote is t for a message: shortened, and hidden if it is a secret.
func (o *option) quote(t string) string {
	if o.secret != "" {
		return "a secret"
	}
	return quote(t)
}

// checkText refuses a text that is wrong by itself.
func (o *option) checkText(t string) error {
	if o.enum != nil {
		for _, e := range o.enum {
			if e == t {
				return nil
			}
		}
		return fmt.Errorf("%s is not one of %s%s", o.quote(t), strings.Join(o.enum, ", "), didYouMean(t, o.enum))
	}
	if t == "" {
		if (o.required && !o.empty) || (o.kind == words && o.form != "") {
			return fmt.Errorf("it is empty; expected %s", formOf(o.form).what)
		}
		return nil
	}
	if len(t) > textBytesMax {
		return fmt.Errorf("a text of %d bytes; at most %d are possible", len(t), textBytesMax)
	}
	if err := formOf(o.form).check(t); err != nil {
		return err
	}
	return nil
}

// public is the text of a value for people: without what is secret in it.
func (o *option) public(t string) string {
	switch {
	case t == "":
		return ""
	case o.secret != "":
		return hidden
	case o.form == "url":
		return PublicURL(t)
	}
	return t
}

// show is the text of a value, which set reads again.
func (o *option) show(v reflect.Value) string {
	if o.auto != "" && v.IsZero() {
		return o.auto
	}
	switch o.kind {
	case boolean:
		return strconv.FormatBool(v.Bool())
	case count:
		return strconv.FormatInt(v.Int(), 10)
	case size:
		return Bytes(v.Int()).String()
	case duration:
		return showDuration(time.Duration(v.Int()))
	case text:
		return v.String()
	case words:
		return strings.Join(v.Interface().([]string), ", ")
	}
	return ""
}

// showDuration leaves out the zero parts of 1h0m0s.
func showDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

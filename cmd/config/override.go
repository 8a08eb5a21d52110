//go:build linux

package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// envPrefix begins the names of variables that override values: BANYAN_LISTENERS_0_ADDRESS is listeners.0.address.
const envPrefix = "BANYAN_"

// otherVariables are names with that prefix that mean something else.
var otherVariables = map[string]bool{
	"BANYAN_CONFIG": true, "BANYAN_URL": true, "BANYAN_REALM": true, "BANYAN_SERIALIZER": true,
	"BANYAN_AUTHID": true, "BANYAN_ROLE": true, "BANYAN_TICKET_FILE": true, "BANYAN_SECRET_FILE": true,
	"BANYAN_KEY": true, "BANYAN_CA": true, "BANYAN_INSECURE": true,
}

// serviceVariable is what Kubernetes sets in every container for a service called banyan, or banyan-….
var serviceVariable = regexp.MustCompile(
	`^BANYAN(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// override puts values of the environment and then those of the command line into the tree.
func (ld *loading) override() {
	for _, name := range slices.Sorted(maps.Keys(ld.env)) {
		if !strings.HasPrefix(name, envPrefix) || otherVariables[name] {
			continue
		}
		if path := resolve(root(), strings.TrimPrefix(name, envPrefix)); path != nil {
			ld.used[name] = true
			fmt.Fprintf(ld.hash, "%s=%s\n", name, ld.env[name])
			ld.put(path, ld.env[name], "env "+name)
		}
	}
	for _, o := range ld.Overrides {
		source := o.Source
		if source == "" {
			source = "--set " + o.Path
		}
		fmt.Fprintf(ld.hash, "%s=%s\n", o.Path, o.Value)
		ld.putEach(splitPath(o.Path), o.Value, source)
	}
}

// putEach sets the value at path, in which * stands for every entry that the list has already.
func (ld *loading) putEach(path []string, value, source string) {
	i := slices.Index(path, "*")
	if i < 0 {
		ld.put(path, value, source)
		return
	}
	_, list := ld.find(strings.Join(path[:i], "."), true)
	for n := 0; n < mergeDepthMax && list != nil && list.Kind == yaml.AliasNode; n++ {
		list = list.Alias
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for k := range list.Content {
		one := slices.Clone(path)
		one[i] = strconv.Itoa(k)
		ld.putEach(one, value, source)
	}
}

// splitPath splits a path at its dots. A step in quotes, such as an authid, may have dots itself.
func splitPath(path string) []string {
	var all []string
	for {
		if q, err := strconv.QuotedPrefix(path); err == nil && strings.HasPrefix(q, `"`) {
			if rest := path[len(q):]; rest == "" || rest[0] == '.' {
				step, err := strconv.Unquote(q)
				if err == nil {
					if all = append(all, step); rest == "" {
						return all
					}
					path = rest[1:]
					continue
				}
			}
		}
		step, rest, more := strings.Cut(path, ".")
		if all = append(all, step); !more {
			return all
		}
		path = rest
	}
}

// quoteStep is a step of a path as splitPath reads it.
func quoteStep(t string) string {
	if strings.ContainsAny(t, ".\"") || t == "" {
		return strconv.Quote(t)
	}
	return t
}

// resolve finds the path that the rest of a variable's name means, or nil.
func resolve(o *option, rest string) []string {
	for _, c := range o.fields {
		name := variableName(c.key)
		tail, ok := strings.CutPrefix(rest, name)
		if !ok {
			continue
		}
		if tail == "" {
			if c.kind == list || c.kind == dict || c.kind == free || c.kind == section && !c.ptr {
				continue
			}
			return []string{c.key}
		}
		tail, ok = strings.CutPrefix(tail, "_")
		if !ok {
			continue
		}
		switch c.kind {
		case section:
			if path := resolve(c, tail); path != nil {
				return append([]string{c.key}, path...)
			}
		case list:
			index, tail, _ := strings.Cut(tail, "_")
			if _, err := strconv.ParseUint(index, 10, 16); err != nil {
				continue
			}
			if path := resolve(c.item, tail); path != nil {
				return append([]string{c.key, index}, path...)
			}
		}
	}
	return nil
}

func variableName(key string) string {
	return strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// EnvNames are all variables that override a value, with N for the number of an entry.
func EnvNames() []string {
	var all []string
	var walk func(o *option, name string)
	walk = func(o *option, name string) {
		for _, c := range o.fields {
			n := name + variableName(c.key)
			switch c.kind {
			case section:
				if c.ptr {
					all = append(all, n)
				}
				walk(c, n+"_")
			case list:
				walk(c.item, n+"_N_")
			case dict, free:
			default:
				all = append(all, n)
			}
		}
	}
	walk(root(), envPrefix)
	return all
}

// unknownVariables reports variables that look like overrides and are none.
func (ld *loading) unknownVariables() {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(ld.env)) {
		if !strings.HasPrefix(name, envPrefix) || otherVariables[name] || ld.used[name] ||
			serviceVariable.MatchString(name) || strings.HasPrefix(name, "BANYAN_TEST_") {
			continue
		}
		if names == nil {
			names = EnvNames()
		}
		hint := "banyan config env lists those that there are"
		if w := closest(name, numbered(names, name)); w != "" {
			hint = fmt.Sprintf("did you mean %s?", w)
		}
		ld.r.add(Problem{
			Severity: Error, Source: "env " + shorten(name), Message: "no option has this variable", Hint: hint,
		})
	}
}

// numbered puts the numbers in name in place of N.
func numbered(names []string, name string) []string {
	numbers := regexp.MustCompile(`_\d+_`).FindAllString(name, -1)
	all := make([]string, len(names))
	for i, n := range names {
		for _, with := range numbers {
			n = strings.Replace(n, "_N_", with, 1)
		}
		all[i] = n
	}
	return all
}

// put sets the value at path, and makes the sections and entries on the way.
func (ld *loading) put(path []string, value, source string) {
	bad := func(message, hint string) {
		ld.r.add(Problem{Severity: Error, Source: source, Message: message, Hint: hint})
	}
	options, problem := along(path)
	if problem != "" {
		bad(problem, "banyan config docs lists all options")
		return
	}
	made, err := nodeOf(options[len(options)-1], value)
	if err != nil {
		bad(err.Error(), "")
		return
	}
	ld.mark(made, source)
	o, n, shared := root(), ld.main.root, false
	for i, step := range path {
		if n.Kind == yaml.ScalarNode {
			return // reported when it is read
		}
		at, problem := ld.slot(o, n, step, source)
		if problem != "" {
			bad(problem, "")
			return
		}
		if o = options[i]; i == len(path)-1 {
			*at = made
			return
		}
		child := *at
		if child != nil && child.Kind == yaml.AliasNode && child.Alias != nil {
			child, shared = child.Alias, true
		}
		switch {
		case child == nil || child.Kind == yaml.ScalarNode && o.kind == section && child.ShortTag() == "!!null":
			child = &yaml.Node{Kind: yaml.MappingNode}
			if o.kind == list {
				child.Kind = yaml.SequenceNode
			}
			ld.given[child] = source
		case shared: // an alias shares it with others
			clone := *child
			clone.Content = slices.Clone(child.Content)
			child = &clone
		}
		*at, n = child, child
	}
}

// along are the options at each step of a path, the last of which takes a value.
func along(path []string) (options []*option, problem string) {
	o := root()
	for i, step := range path {
		switch o.kind {
		case section:
			c := o.byKey[step]
			if c == nil {
				keys := make([]string, len(o.fields))
				for i, f := range o.fields {
					keys[i] = f.key
				}
				return nil, "there is no option " + quote(strings.Join(path[:i+1], ".")) + didYouMean(step, keys)
			}
			o = c
		case list, dict:
			o = o.item
		default:
			return nil, quote(strings.Join(path[:i], ".")) + " is a single value"
		}
		options = append(options, o)
	}
	return options, ""
}

// slot finds the place of a step in n, or makes an empty one.
func (ld *loading) slot(o *option, n *yaml.Node, step, source string) (at **yaml.Node, problem string) {
	if o.kind == list {
		i, err := strconv.ParseUint(step, 10, 31)
		if err != nil || n.Kind != yaml.SequenceNode {
			return nil, quote(step) + " is no number of an entry"
		}
		if int(i) > len(n.Content) {
			return nil, fmt.Sprintf("there is no entry %d: the list has %d, counted from 0", i, len(n.Content))
		}
		if int(i) == len(n.Content) {
			n.Content = append(n.Content, nil)
		}
		return &n.Content[i], ""
	}
	if n.Kind != yaml.MappingNode {
		return nil, "what is around it in the file is no section"
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return &n.Content[i+1], ""
		}
	}
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: step}
	ld.given[key] = source
	n.Content = append(n.Content, key, nil)
	return &n.Content[len(n.Content)-1], ""
}

// nodeOf is a value from outside the file as a node. Texts stay what they are; lists and sections may be YAML.
func nodeOf(o *option, value string) (*yaml.Node, error) {
	switch o.kind {
	case section, list, dict, free, words:
		if t := strings.TrimSpace(value); strings.HasPrefix(t, "[") || strings.HasPrefix(t, "{") {
			if len(value) > textBytesMax {
				return nil, fmt.Errorf("a value of %d bytes; at most %d are possible", len(value), textBytesMax)
			}
			var node yaml.Node
			if err := yaml.Load([]byte(value), &node); err != nil || len(node.Content) == 0 {
				return nil, fmt.Errorf("what is in the brackets is no YAML")
			}
			return node.Content[0], nil
		}
		if o.kind != words {
			return nil, fmt.Errorf("this is a section; name one of its options, or write the section as {…} or […]")
		}
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for w := range strings.SplitSeq(value, ",") {
			if w = strings.TrimSpace(w); w != "" {
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: w})
			}
		}
		return n, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle}, nil
}

package transcript

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// variable stands in a template for a bound value, anything for any value, more for further entries of a dictionary.
type (
	variable string
	anything struct{}
	more     struct{}
)

// moreKey is where a parsed dictionary says that it may have further entries.
const moreKey = "..."

var messageTypes = map[string]int64{
	"HELLO": 1, "WELCOME": 2, "ABORT": 3, "CHALLENGE": 4, "AUTHENTICATE": 5, "GOODBYE": 6, "ERROR": 8,
	"PUBLISH": 16, "PUBLISHED": 17, "SUBSCRIBE": 32, "SUBSCRIBED": 33, "UNSUBSCRIBE": 34, "UNSUBSCRIBED": 35,
	"EVENT": 36,
	"CALL":  48, "CANCEL": 49, "RESULT": 50, "REGISTER": 64, "REGISTERED": 65, "UNREGISTER": 66, "UNREGISTERED": 67,
	"INVOCATION": 68, "INTERRUPT": 69, "YIELD": 70, "EVENT_RECEIVED": 337,
}

func parseHex(text string) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(text, " ", ""))
}

// parseMessage reads the elements of a message; the first is a name or a number.
func parseMessage(text string) ([]any, error) {
	p := parser{rest: text}
	var elements []any
	for p.skip(); p.rest != ""; p.skip() {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if name, ok := v.(string); ok && len(elements) == 0 {
			code, known := messageTypes[name]
			if !known {
				return nil, fmt.Errorf("unknown message %q", name)
			}
			v = code
		}
		elements = append(elements, v)
	}
	if len(elements) == 0 {
		return nil, fmt.Errorf("no message")
	}
	return elements, nil
}

type parser struct{ rest string }

func (p *parser) skip() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *parser) take(prefix string) bool {
	p.skip()
	rest, ok := strings.CutPrefix(p.rest, prefix)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) value() (any, error) {
	switch {
	case p.take("{"):
		return p.dict()
	case p.take("["):
		return p.list()
	case strings.HasPrefix(p.rest, `"`):
		return p.quoted()
	case strings.HasPrefix(p.rest, `x"`):
		p.rest = p.rest[1:]
		text, err := p.quoted()
		if err != nil {
			return nil, err
		}
		return parseHex(text)
	}
	return p.word()
}

func (p *parser) quoted() (string, error) {
	for end := 1; end < len(p.rest); end++ {
		switch p.rest[end] {
		case '\\':
			end++
		case '"':
			var s string
			err := json.Unmarshal([]byte(p.rest[:end+1]), &s)
			p.rest = p.rest[end+1:]
			return s, err
		}
	}
	return "", fmt.Errorf("unfinished string")
}

func (p *parser) word() (any, error) {
	end := strings.IndexAny(p.rest, " \t,]}")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	switch word {
	case "":
		return nil, fmt.Errorf("value missing")
	case "_":
		return anything{}, nil
	case "null":
		return nil, nil
	case "true", "false":
		return word == "true", nil
	}
	if name, ok := strings.CutPrefix(word, "$"); ok {
		return variable(name), nil
	}
	if word[0] == '-' || word[0] >= '0' && word[0] <= '9' {
		return number(word)
	}
	return word, nil
}

func number(word string) (any, error) {
	if i, err := strconv.ParseInt(word, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(word, 10, 64); err == nil {
		return u, nil
	}
	return strconv.ParseFloat(word, 64)
}

func (p *parser) list() (any, error) {
	items := []any{}
	for first := true; !p.take("]"); first = false {
		if !first && !p.take(",") {
			return nil, fmt.Errorf("comma or ] missing")
		}
		p.skip()
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, nil
}

func (p *parser) dict() (any, error) {
	entries := map[string]any{}
	for first := true; !p.take("}"); first = false {
		if !first && !p.take(",") {
			return nil, fmt.Errorf("comma or } missing")
		}
		if p.take(moreKey) {
			entries[moreKey] = more{}
			continue
		}
		p.skip()
		if !strings.HasPrefix(p.rest, `"`) {
			return nil, fmt.Errorf("key missing")
		}
		key, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if !p.take(":") {
			return nil, fmt.Errorf("colon missing")
		}
		p.skip()
		if entries[key], err = p.value(); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

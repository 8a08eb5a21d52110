package keep

import (
	_ "github.com/HdrHistogram/hdrhistogram-go"
	_ "github.com/fxamacker/cbor/v2"
	_ "github.com/go-json-experiment/json/jsontext"
	_ "github.com/gobwas/ws"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/pprof/profile"
	_ "github.com/lmittmann/tint"
	_ "github.com/panjf2000/gnet/v2/pkg/netpoll"
	_ "github.com/panjf2000/gnet/v2/pkg/socket"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/rogpeppe/go-internal/txtar"
	_ "github.com/spf13/cobra"
	_ "github.com/tinylib/msgp/msgp"
	_ "github.com/valyala/bytebufferpool"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
)

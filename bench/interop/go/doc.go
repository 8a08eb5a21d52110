package interop
import (
 _ "github.com/gammazero/nexus/v3/client"
 _ "github.com/xconnio/xconn-go"
)

package cli

import (
	_ "embed"
	"net/http"

	"banyan/engine"
)

//go:embed page.html
var pageHTML []byte

// page answers plain HTTP on the router's port: one page, with everything in it.
func page(path string) engine.Page {
	switch path {
	case "/", "/index.html", "/ws":
		return engine.Page{Status: http.StatusOK, ContentType: "text/html; charset=utf-8", Body: pageHTML}
	}
	return engine.Page{
		Status: http.StatusNotFound, ContentType: "text/plain; charset=utf-8",
		Body: []byte("not found; the page is at /\n"),
	}
}

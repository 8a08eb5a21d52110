package main

import (
	_ "embed"
	"net/http"
)

//go:embed page.html
var pageHTML []byte

// page answers plain HTTP on the router's port: one page, with everything in it.
func page(path string) (status int, contentType string, body []byte) {
	switch path {
	case "/", "/index.html", "/ws":
		return http.StatusOK, "text/html; charset=utf-8", pageHTML
	}
	return http.StatusNotFound, "text/plain; charset=utf-8", []byte("not found; the page is at /\n")
}

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Files are the names that Write uses.
const (
	FileHTML = "report.html"
	FileJSON = "results.json"
	FileHDR  = "latency.hgrm"
)

// Write makes the folder and writes the document into it in every form, replacing those of an earlier run. It returns
// the names.
func (d *Document) Write(folder string) ([]string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	forms := []struct {
		name  string
		write func(io.Writer) error
	}{
		{FileHTML, d.HTML}, {FileJSON, d.JSON}, {FileHDR, d.Percentiles},
	}
	names := make([]string, 0, len(forms))
	for _, form := range forms {
		f, err := os.Create(filepath.Join(folder, form.name))
		if err != nil {
			return names, err
		}
		if err := errors.Join(form.write(f), f.Close()); err != nil {
			return names, fmt.Errorf("report: %s: %w", form.name, err)
		}
		names = append(names, form.name)
	}
	return names, nil
}

// JSON writes the document for programs; Read reads it.
func (d *Document) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(d)
}

// Percentiles writes the latency of every peer and plan in milliseconds, as HdrHistogram's plotters read it. Rounds
// are merged. Of several plans or peers each begins with a comment line.
func (d *Document) Percentiles(w io.Writer) error {
	for _, plan := range d.plans() {
		for _, peer := range d.peersOf(plan) {
			h, err := merged(d.Of(plan, peer))
			if err != nil {
				return err
			}
			if h == nil {
				continue
			}
			if _, err := fmt.Fprintf(w, "#[plan = %s, peer = %s]\n", strings.TrimSpace(plan), peer); err != nil {
				return err
			}
			const ticks, perMilli = 5, 1e6
			if _, err := h.PercentilesPrint(w, ticks, perMilli); err != nil {
				return err
			}
		}
	}
	return nil
}

package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"qmq/internal/version"
)

// billOf lists what is in the programs of a target, as the linker wrote it into
// them: each module with its version and checksum, and the toolchain with its
// standard library. Licences are not known there and so not told.
func billOf(t target, binaries [][]byte, commit string, date time.Time) ([]byte, error) {
	bom := cdx.NewBOM()
	root := cdx.Component{
		BOMRef: "pkg:generic/q@" + version.Number, Type: cdx.ComponentTypeApplication, Name: "q", Version: version.Number,
		Properties: &[]cdx.Property{{Name: "commit", Value: commit}, {Name: "target", Value: t.String()}},
	}
	modules := make(map[string]cdx.Component)
	var programs []cdx.Component
	for i, binary := range binaries {
		info, err := buildinfo.Read(bytes.NewReader(binary))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(binary)
		programs = append(programs, cdx.Component{
			BOMRef: "program:" + t.file(t.programs[i]), Type: cdx.ComponentTypeApplication, Name: t.file(t.programs[i]), Version: version.Number,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		})
		library := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion, PackageURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
		library.BOMRef = library.PackageURL
		modules[library.BOMRef] = library
		for _, m := range info.Deps {
			c, err := componentOf(m)
			if err != nil {
				return nil, err
			}
			modules[c.BOMRef] = c
		}
	}
	root.Components = &programs
	bom.Metadata = &cdx.Metadata{Timestamp: date.Format(time.RFC3339), Component: &root}
	components, needs := []cdx.Component{}, []string{}
	for _, c := range modules {
		components = append(components, c)
		needs = append(needs, c.BOMRef)
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	slices.Sort(needs)
	bom.Components, bom.Dependencies = &components, &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &needs}}
	var b bytes.Buffer
	err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return b.Bytes(), err
}

// componentOf is a module as it was linked.
func componentOf(m *debug.Module) (cdx.Component, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	c := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: fmt.Sprintf("pkg:golang/%s@%s", m.Path, m.Version)}
	c.BOMRef = c.PackageURL
	sum, ok := strings.CutPrefix(m.Sum, "h1:")
	if !ok {
		return c, fmt.Errorf("%s %s has no checksum", m.Path, m.Version)
	}
	raw, err := base64.StdEncoding.DecodeString(sum)
	if err != nil {
		return c, fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
	}
	// Of the files of the module and their names, as go.sum has it.
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
	return c, nil
}

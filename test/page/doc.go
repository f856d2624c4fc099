// Package page holds the tests of qadmin's page as people use it: in a real
// browser, over real daemons. They need Chromium. The pictures in docs/img are
// made here as well:
//
//	go test ./test/page -run Screenshots -args -screenshots=../../docs/img
package page

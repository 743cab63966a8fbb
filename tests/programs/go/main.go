// A server and a client over Go's own TLS, for the tests of the observer.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	address := flag.String("address", "", "serve here")
	cert := flag.String("cert", "", "certificate file")
	key := flag.String("key", "", "key file")
	get := flag.String("get", "", "base of the addresses to ask")
	paths := flag.String("paths", "", "paths to ask, one after the other, with commas between")
	count := flag.Int("count", 1, "ask this many times")
	h1 := flag.Bool("http1", false, "speak HTTP/1.1 only")
	want := flag.String("want", "", "body that every answer must have; empty: what this server sends")
	flag.Parse()
	if *get != "" {
		for i := 0; i < *count; i++ {
			ask(*get, strings.Split(*paths, ","), *h1, *want)
		}
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d bytes\n", r.URL.Path, len(body))
	})
	log.SetOutput(io.Discard)
	if err := http.ListenAndServeTLS(*address, *cert, *key, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(base string, paths []string, h1 bool, want string) {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: !h1,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, path := range paths {
		answer, err := client.Get(base + path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		expected := want
		if expected == "" {
			expected = path + " 0 bytes\n"
		}
		if err != nil || string(body) != expected {
			fmt.Fprintln(os.Stderr, err, string(body))
			os.Exit(1)
		}
	}
}

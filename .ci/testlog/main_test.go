package main

import (
	"strings"
	"testing"
)

func TestReportTellsGoodRunsFromBad(t *testing.T) {
	const pass = `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	const skip = `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: no Redis\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
`
	const fail = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:1: got 3\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
`
	const hang = `{"Action":"output","Package":"p","Test":"TestD","Output":"stuck in step 4\n"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}
`
	const noTests = `{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q"}
`
	const build = `{"ImportPath":"r","Action":"build-output","Output":"r.go:1:1: expected package\n"}
{"ImportPath":"r","Action":"build-fail"}
`
	tests := []struct {
		name, log         string
		allowed           map[string]string
		problem, out, not string
	}{
		{name: "all pass", log: pass, out: "ok  \tp\t0.1s", not: "noise"},
		{name: "a package without tests is no skip", log: pass + noTests, out: "[no test files]"},
		{name: "skip", log: pass + skip, problem: "skipped although every service was there: p.TestB", out: "no Redis"},
		{name: "allowed skip", log: pass + skip, allowed: map[string]string{"p.TestB": "needs two machines"}},
		{name: "fail", log: pass + fail, problem: "failed: p.TestC, p", out: "got 3"},
		{name: "time-out", log: hang, problem: "failed: p", out: "stuck in step 4"},
		{name: "build", log: build, problem: "failed: r (build)", out: "expected package"},
		{name: "nothing", log: "", problem: "no test ran"},
		{name: "go itself", log: "go: no such package\n", problem: "no test ran", out: "no such package"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := report(strings.NewReader(tt.log), &out, tt.allowed)
			switch {
			case tt.problem == "" && err != nil:
				t.Errorf("report says %q; want nothing", err)
			case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
				t.Errorf("report says %v; want %q", err, tt.problem)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("printed %q; want %q in it", out.String(), tt.out)
			}
			if tt.not != "" && strings.Contains(out.String(), tt.not) {
				t.Errorf("printed %q; want no %q in it", out.String(), tt.not)
			}
		})
	}
}

package processor_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stage is a part of the work, with the functions that belong to it.
type stage struct {
	name string
	is   *regexp.Regexp
}

// of says whether a sample belongs to the stage.
func (s *stage) of(one *sample, functions map[string][]string) bool {
	return slices.ContainsFunc(one.locations, func(l string) bool { return slices.ContainsFunc(functions[l], s.is.MatchString) })
}

// stages are what the processor's time goes into. A sample belongs to the first that it is of. To end a transaction is to wait, and
// counts as producing.
var stages = []stage{
	{"encode", regexp.MustCompile(`topics\.\(\*Writer\)|processor\.\(\*folded\)\.(update|output)$`)},
	{"decode", regexp.MustCompile(`processor\.\(\*task\)\.decode$`)},
	{"load", regexp.MustCompile(`processor\.\(\*task\)\.ready$`)},
	{"fold", regexp.MustCompile(`processor\.\(\*task\)\.fold$`)},
	{"commit to Redis", regexp.MustCompile(`onhand/cache\.`)},
	{"poll", regexp.MustCompile(`kgo\.\(\*source\)|kgo\.\(\*brokerCxn\)\.readResponse|processor\.\(\*session\)\.(poll|distribute)$`)},
	{"produce", regexp.MustCompile(`kgo\.`)},
	{"collect garbage", regexp.MustCompile(`runtime\.(gcBgMarkWorker|bgsweep|bgscavenge)$`)},
	{"other", regexp.MustCompile(``)},
}

// byStage adds up a CPU profile by stage, in CPU-seconds for a million events.
func byStage(b *testing.B, profile string, events int) string {
	b.Helper()
	raw, err := exec.CommandContext(b.Context(), "go", "tool", "pprof", "-raw", profile).Output()
	if err != nil {
		b.Fatalf("reading %s: %v", profile, err)
	}
	samples, functions := readProfile(raw)
	took := make([]time.Duration, len(stages))
	for i := range samples {
		took[slices.IndexFunc(stages, func(s stage) bool { return s.of(&samples[i], functions) })] += samples[i].took
	}
	var text strings.Builder
	for i, st := range stages {
		fmt.Fprintf(&text, "%-16s %5.2f s/M\n", st.name, took[i].Seconds()*1e6/float64(events))
	}
	return text.String()
}

// sample is what one stack took, its locations the innermost first.
type sample struct {
	took      time.Duration
	locations []string
}

// readProfile reads what go tool pprof -raw prints: samples, "COUNT NANOSECONDS: LOCATION...", and the functions of each location, one
// a line where several are inlined there.
func readProfile(raw []byte) (samples []sample, functions map[string][]string) {
	functions = make(map[string][]string)
	section, location := "", ""
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		words := strings.Fields(line)
		switch {
		case len(words) == 1 && !strings.HasPrefix(line, " "):
			section = words[0]
		case section == "Samples:" && len(words) > 2 && strings.HasSuffix(words[1], ":"):
			took, _ := strconv.ParseInt(strings.TrimSuffix(words[1], ":"), 10, 64)
			samples = append(samples, sample{time.Duration(took), words[2:]})
		case section == "Locations" && len(words) > 3 && strings.HasSuffix(words[0], ":"):
			location = strings.TrimSuffix(words[0], ":")
			functions[location] = append(functions[location], words[3])
		case section == "Locations" && len(words) > 1:
			functions[location] = append(functions[location], words[0])
		}
	}
	return samples, functions
}

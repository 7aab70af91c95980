package modem_test

import (
	"os"
	"path/filepath"
	"testing"

	"gatewayd/modem/transcript"
	"gatewayd/sms"
)

// Every transcript in testdata is a modem that must go on working: it plays back
// and comes to the state that the recording says.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.transcript")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			recording, err := transcript.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Seek(0, 0); err != nil {
				t.Fatal(err)
			}
			plays(t, f, sms.ModemState(recording.Header["state"]))
		})
	}
}

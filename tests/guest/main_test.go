package guest_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/fsva/fsva/tests/guest"
)

func TestMain(m *testing.M) {
	code := guest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

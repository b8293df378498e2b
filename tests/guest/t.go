package guest

// T is what guests need of the test they run in: where to put files, when to
// end, and whom to tell. Every testing.TB is one; so is whatever else than a
// test works with guests.
type T interface {
	Helper()
	TempDir() string
	// Cleanup calls f at the end, the last one first.
	Cleanup(f func())
	Failed() bool
	Logf(format string, args ...any)
	// Fatal and Fatalf end the calling goroutine.
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

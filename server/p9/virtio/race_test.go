//go:build race

package virtio

const raceDetector = true

//go:build !race

package virtio

const raceDetector = false

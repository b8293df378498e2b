// Package every imports all of rclone's back ends. That takes minutes to build,
// and 90 MB of the binary.
package every

import _ "github.com/rclone/rclone/backend/all" // each registers itself

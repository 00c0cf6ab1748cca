#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME each. A finding is left
# under the package's testdata/fuzz, where the unit tests find it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-60s}

n=0 bad=0
while read -r package target; do
  n=$((n + 1))
  echo "== $package $target"
  # Two workers: more only fight for the cores that CI has.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 "$package" || bad=$((bad + 1))
done < <(git grep -l '^func Fuzz' -- '*_test.go' | while read -r file; do
  sed -n 's,^func \(Fuzz[A-Za-z0-9_]*\)(.*,./'"$(dirname "$file")"' \1,p' "$file"
done | sort)

echo "fuzz: $n targets for $time each, $bad with a finding"
[ "$n" -gt 0 ] && [ "$bad" = 0 ]

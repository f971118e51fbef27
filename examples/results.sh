#!/usr/bin/env bash
# The full results table: tuned learning rates, three seeds, all examples. Stops and resumes at any time: what is done
# is kept in build/results/runs. Ends with docs/results/placements.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build/release/examples/compare_placements --full --out build/results "$@"
if [[ $# -eq 0 ]]; then
  cp build/results/placements.md docs/results/placements.md
  echo "docs/results/placements.md is up to date"
fi

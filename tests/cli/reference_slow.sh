#!/usr/bin/env bash
# The reference logits of the models that ship are of these models: computed again in double precision, bit for bit.
set -euo pipefail
"$MNEMO_SOURCE_DIR/tools/golden-models.sh" --check "$(dirname "$1")/tests/mnemo-reference"

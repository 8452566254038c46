#!/usr/bin/env bash
# Makes the models that ship from nothing, one recipe of models/recipes after the other; a recipe whose model is there
# is passed over, one that was stopped goes on. usage: make-models.sh MNEMO FOLDER    TEXTS=FOLDER of English books
set -euo pipefail
mnemo=$(realpath "$1")
folder=$2
here=$(cd "$(dirname "$0")/.." && pwd)
texts=${TEXTS:-$here/../shared/data/corpora/train}
[ -d "$texts" ] || { echo "no folder of books at $texts; name one: make models TEXTS=FOLDER" >&2; exit 1; }
mkdir -p "$folder"
cd "$folder"
ln -sfn "$(realpath "$texts")" texts
ln -sfn "$here/models/tokenizer.model" tokenizer.model
for name in base-1 base-2 base-3 base default llama-1 llama llama-4k infini; do
    if [ -e "$name.gguf" ]; then continue; fi
    echo "== models/recipes/$name.ini"
    more=()
    if [ "$name" = infini ]; then more=(source.{pass,facts,prose}.paths=texts memory.prose=texts); fi
    "$mnemo" train "$here/models/recipes/$name.ini" "${more[@]}"
done
echo "The models are in $folder. To ship them: cp to models/, then tools/measure-models.sh --write"

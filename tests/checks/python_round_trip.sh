# From Python to sdlora and back, as README.md has it: a checkpoint of transformers and a table are fine-tuned and evaluated; what
# merge and export write has the same log-probabilities in transformers and peft; an adapter of peft has its own here.
source "$(dirname "$0")/common.sh"

python=$(command -v "${SDLORA_PYTHON:-python3}") || skip "no Python; name one in SDLORA_PYTHON"
[[ $python == /* ]] || python=$PWD/$python
"$python" -c 'import importlib.util as found, sys
sys.exit(None in map(found.find_spec, ["torch", "transformers", "peft", "tokenizers"]))' 2>/dev/null ||
  skip "no Python with torch, transformers and peft; name one in SDLORA_PYTHON"
sdlora=""
for built in "$SDLORA_CHECK_DIR/../bin/sdlora" build/release/bin/sdlora; do
  if [[ -x $built ]]; then sdlora=$(realpath "$built"); break; fi
done
[[ -n $sdlora ]] || skip "sdlora is not built"

compares=$PWD/tests/reference/check_python.py
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1 PYTHONWARNINGS=ignore PYTHONDONTWRITEBYTECODE=1
rm -rf "$scratch"
mkdir -p "$scratch"
"$python" tests/reference/make_tiny.py "$scratch" >"$scratch/log" 2>&1 ||
  { problem "tests/reference/make_tiny.py fails: $(tail -n 5 "$scratch/log")"; finish; }
cd "$scratch"

columns=(--template 'Review: {sentence}\nSentiment: ' --completion-column label
  --completion-words 0=negative,1=positive)
"$sdlora" finetune --quiet --model base --data train.tsv "${columns[@]}" --placement lora-peft --epochs 6 --batch-size 8 \
  --learning-rate 2e-2 --out my-adapter || { problem "sdlora finetune fails on a table"; finish; }
# The share of right answers in per cent.
accuracy() {
  "$sdlora" evaluate --quiet --model base --data dev.tsv "${columns[@]}" --candidates positive,negative --json "$@" |
    "$python" -c 'import json, sys; print(round(100 * json.load(sys.stdin)["accuracy"]))'
}
before=$(accuracy) && after=$(accuracy --adapter my-adapter) || { problem "sdlora evaluate fails on a table"; finish; }
((before < 80 && after > 95)) || problem "fine-tuning took the accuracy from $before % to $after %, expected more than 95 %"
"$sdlora" merge --quiet --model base --adapter my-adapter --out merged || problem "sdlora merge fails"
"$sdlora" export --quiet --model base --adapter my-adapter --out for-peft || problem "sdlora export fails"
((failures == 0)) || finish

agree() { "$python" "$compares" "$sdlora" "$@" >log 2>&1; }
agree base+my-adapter=merged=base+for-peft base+from-peft --unlike base ||
  problem "sdlora and Python compute other values:" "$(grep -v agrees log)"

# One value of an exported module is changed, and the merged checkpoint loses its tokenizer: both are noticed.
cp -r for-peft spoilt
cp -r merged bare
rm bare/tokenizer*
"$python" - <<'CHANGE'
from safetensors.torch import load_file, save_file
tensors = load_file("spoilt/adapter_model.safetensors")
tensor = next(value for name, value in sorted(tensors.items()) if "in_proj.lora_B" in name)
tensor.view(-1)[0] += 0.1
save_file(tensors, "spoilt/adapter_model.safetensors", {"format": "pt"})
CHANGE
! agree base+my-adapter=bare=base+spoilt || problem "a wrong value of an exported adapter goes unnoticed"
for line in 'spoilt in Python differs from bare .*DIFFERS' 'no tokenizer.json in bare, one in base: DIFFERS'; do
  grep -q "$line" log || problem "check_python.py prints nothing like '$line', but:" "$(cat log)"
done
finish

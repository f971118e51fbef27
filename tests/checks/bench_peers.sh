# bench/scan_peers.py on small shapes, where its peers and scan_variants are: both sides agree, and results that do not are
# refused.
source "$(dirname "$0")/common.sh"

if command -v python3 >/dev/null; then
  python3 -c 'compile(open("bench/scan_peers.py").read(), "bench/scan_peers.py", "exec")' ||
    problem "bench/scan_peers.py is no Python"
fi
((failures == 0)) || finish

python=${PEERS_PYTHON:-build/peers/bin/python}
"$python" -c 'import torch, numpy, mambapy' 2>/dev/null ||
  skip "no Python with torch, numpy and mambapy; ./run bench --peers makes one, or name it in PEERS_PYTHON"
program=""
for built in "$SDLORA_CHECK_DIR/../bench/scan_variants" build/release/bench/scan_variants; do
  if [[ -x $built ]]; then program=$built; break; fi
done
[[ -n $program ]] || skip "scan_variants is not built"

printed=$("$python" bench/scan_peers.py "$program" 1 1,8,32,16 2,100,16,16) || problem "bench/scan_peers.py fails"
for line in 'Peer: mambapy [0-9.]+ on torch [0-9.]+' '\| 2 \| 100 \| 16 \| 16 \| backward \| .*× \|'; do
  grep -qE "$line" <<<"$printed" || problem "bench/scan_peers.py prints nothing like '$line', but: $printed"
done
[[ $(grep -c '^Outputs and gradients of both sides differ by at most .*e-0[6-9] ' <<<"$printed") == 2 ]] ||
  problem "bench/scan_peers.py: both sides differ by more than rounding: $printed"

# Between the two, one value of what the program wrote is changed by a hundredth of the largest.
cat >"$scratch/spoils" <<'FAKE'
#!/usr/bin/env python3
import array, os, subprocess, sys
real = subprocess.Popen([os.environ["PROGRAM"], *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
for line in sys.stdin:
    print(line, end="", file=real.stdin, flush=True)
    answer = real.stdout.readline()
    path = os.path.join(sys.argv[2], os.environ["SPOILT"] + ".f32")
    if "values" in line and os.path.exists(path):
        values = array.array("f", open(path, "rb").read())
        values[-1] += 0.01 * max(map(abs, values))
        values.tofile(open(path, "wb"))
    print(answer, end="", flush=True)
FAKE
chmod +x "$scratch/spoils"
for name in out d_dt_bias d_a; do
  printed=$(PROGRAM=$program SPOILT=$name "$python" bench/scan_peers.py "$scratch/spoils" 1 1,8,32,16 2>&1) &&
    problem "bench/scan_peers.py takes a wrong $name"
  grep -qE "values, shape \(1, 8, 32, 16\): $name differs from mambapy's by up to [0-9.e-]+" <<<"$printed" ||
    problem "bench/scan_peers.py says no shape and difference of $name, but: $printed"
done
finish

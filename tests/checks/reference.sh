# Every public class, function, concept and constant has a comment, as Doxygen sees it: `./run docs` has no gaps.
source "$(dirname "$0")/common.sh"
command -v doxygen >/dev/null || skip "no doxygen"

rm -rf "$scratch"
mkdir -p "$scratch"
doxygen - >"$scratch/log" 2>&1 <<OPTIONS || problem "doxygen failed:" "$(tail -n 5 "$scratch/log")"
@INCLUDE = docs/Doxyfile
OUTPUT_DIRECTORY = $scratch
WARN_LOGFILE = $scratch/warnings
OPTIONS
# Members of a class are spoken of in its comment where their names do not say it.
gaps=$(grep -E '(Compound|of namespace) .*is not documented' "$scratch/warnings" | sed "s|^$PWD/||" | sort -u) || true
[[ -z $gaps ]] || problem "public, and without a comment:" "$gaps"
wrong=$(grep -E 'error:|Unsupported|unexpected|unknown command' "$scratch/warnings" | sort -u) || true
[[ -z $wrong ]] || problem "comments that Doxygen cannot read:" "$wrong"
[[ -s $scratch/html/index.html && $(find "$scratch/html" -name '*MambaModel*.html' | wc -l) -gt 0 ]] ||
  problem "the reference lacks its pages"
finish

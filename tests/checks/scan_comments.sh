# The comment of every scan policy, of the CPU and of the GPU, and of the fused scans says work, depth, stability and
# source. A policy is a type of scan/ with a `name`.
source "$(dirname "$0")/common.sh"

count=0
while IFS=$'\t' read -r place type comment; do
  count=$((count + 1))
  for word in '[Ww]ork' '[Dd]epth' '[Ss]tab(le|ility)' '[Ss]ource'; do
    [[ $comment =~ $word ]] || problem "$place: the comment of $type lacks: $word"
  done
done < <(files include/sdlora/scan | grep -E '\.(hpp|cuh)$' | tr '\n' '\0' | xargs -0 -r awk '
  FNR == 1 { above = type = comment = "" }
  /^\/\/\/( |$)/ { above = above " " substr($0, 5); next }
  /^struct / { type = $2; comment = above }
  /^  static constexpr std::string_view name =/ { printf "%s:%d\t%s\t%s\n", FILENAME, FNR, type, comment }
  /^void (cuda_)?selective_scan_(forward|backward)(_segments)?\(/ {
    sub(/\(.*/, "", $2); printf "%s:%d\t%s\t%s\n", FILENAME, FNR, $2, above
  }
  !/^template / { above = "" }')
((count)) || problem "no policy found below include/sdlora/scan"
finish "$count comments"

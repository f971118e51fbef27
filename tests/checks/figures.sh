# The tables of docs/scan-variants.md are those of the full run in docs/results/cpu.md: cell by cell, or rounded where they
# show fewer digits.
source "$(dirname "$0")/common.sh"

page=docs/scan-variants.md run=docs/results/cpu.md
differences=$(awk -F '|' '
  function trim(text) { gsub(/^ +| +$/, "", text); return text }
  # SimdChannels as the full run has it: simd_channels.
  function snake(name,   i, c, text) {
    if (name == "fused") return "fused_selective"
    for (i = 1; i <= length(name); ++i) {
      c = substr(name, i, 1)
      text = text (c ~ /[A-Z]/ && i > 1 ? "_" : "") tolower(c)
    }
    return text
  }
  function differs(row, column, ours, theirs) {
    printf "%s:%d: row %s, %s: has \"%s\", the full run \"%s\"\n", page, FNR, row, column, ours, theirs
  }
  # The figure as `shown`, which may have fewer digits.
  function rounded(figure, shown,   decimals) {
    decimals = index(shown, ".") ? length(shown) - index(shown, ".") : 0
    return sprintf("%." decimals "f", figure)
  }
  # Compares one "41× of 68× (14.6 against 0.35 ms)", of which all but the ratio may be missing.
  function compare_peers(row, column, key, text,   words, count) {
    count = split(text, words, /[^0-9.]+/)
    ++compared
    if (words[1] "×" != peers[key, "ratio"]) differs(row, column, words[1] "×", peers[key, "ratio"])
    if (text ~ /of/ && words[2] "×" != peers[key, "limit"]) differs(row, column, words[2] "×", peers[key, "limit"])
    if (text !~ /against/) return
    if (words[count] == "") --count
    if (rounded(peers[key, "mambapy ms"], words[count - 1]) != words[count - 1])
      differs(row, column, words[count - 1], peers[key, "mambapy ms"])
    if (rounded(peers[key, "sdlora ms"], words[count]) != words[count])
      differs(row, column, words[count], peers[key, "sdlora ms"])
  }

  FNR == 1 { file += 1 }
  !/^\|/ { in_table = 0 }
  /^\|/ { for (i = 2; i < NF; ++i) cell[i] = trim($i) }
  /^\|---/ { next }

  # The full run: figure[kind, D, N, L, policy] on one thread, and the peers in each of their two tables.
  file == 1 && /^## / { full = /^## One full run/ }
  file == 1 && /^### Columns, / { kind = substr($0, 14) }
  file == 1 && /^The selective scan of a block/ { peer = "block" }
  file == 1 && /^The scan of given a and b/ { peer = "scan" }
  file == 1 && full && /^\|/ && !in_table { for (i = 2; i < NF; ++i) name[i] = cell[i]; in_table = 1; next }
  file == 1 && full && /^\|/ && name[6] == "threads" {
    for (i = 7; i < NF; ++i)
      if (cell[2] == 1 && cell[6] == 1) figure[kind, cell[3], cell[4], cell[5], name[i]] = cell[i]
  }
  file == 1 && full && /^\|/ && name[6] == "direction" {
    for (i = 7; i < NF; ++i) peers[peer, cell[2] ", " cell[3] ", " cell[4] ", " cell[5], cell[6], name[i]] = cell[i]
  }

  # The page.
  file == 2 && /^\|/ && !in_table {
    for (i = 2; i < NF; ++i) name[i] = cell[i]
    in_table = 1
    direction = cell[2] ~ /^(forward|backward): D, N, L$/ ? substr(cell[2], 1, index(cell[2], ":") - 1) : ""
    of_peers = cell[2] == "B, L, D, N"
    next
  }
  file == 2 && /^\|/ && direction != "" {
    split(cell[2], shape, /, /)
    scalar = shape[4] == "" ? "float" : shape[4]
    ++rows[direction]
    for (i = 3; i < NF; ++i) {
      theirs = figure[direction ", " scalar, shape[1], shape[2], shape[3], snake(name[i])]
      ++compared
      if (cell[i] != theirs) differs(cell[2], name[i], cell[i], theirs)
    }
  }
  file == 2 && /^\|/ && of_peers {
    ++rows["peers"]
    for (i = 3; i <= 6; ++i)
      compare_peers(cell[2], name[i], (i <= 4 ? "block" : "scan") SUBSEP cell[2] SUBSEP (i % 2 ? "forward" : "backward"),
                    cell[i])
  }
  END {
    split("forward backward peers", tables, " ")
    for (i = 1; i <= 3; ++i) if (rows[tables[i]] < 4) print page ": no table of " tables[i] " was found"
    print compared " figures compared" >"/dev/stderr"
  }' page="$page" "$run" "$page" 2>"$scratch/compared")
[[ -z $differences ]] || problem "$differences"
finish "$(cat "$scratch/compared")"

# The fuzzing of the readers (tests/fuzz, tests/checks/fuzz.sh). It compiles with clang by itself: about a minute on two cores,
# and then a minute and a half of runs.
sdlora_add_check(fuzz all 900)

#pragma once

#include "support/command_line.hpp"

// The commands of the program sdlora, each in a source of its name.

namespace sdlora::commands {

using examples::CommandLine;

int finetune(CommandLine& command, int argc, char** argv);
int generate(CommandLine& command, int argc, char** argv);
int score(CommandLine& command, int argc, char** argv);
int merge(CommandLine& command, int argc, char** argv);
int export_adapter(CommandLine& command, int argc, char** argv);
int evaluate(CommandLine& command, int argc, char** argv);
int inspect(CommandLine& command, int argc, char** argv);
int tokenize(CommandLine& command, int argc, char** argv);

}  // namespace sdlora::commands

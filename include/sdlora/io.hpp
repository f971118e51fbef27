#pragma once

// All of io/.
#include "io/adapter.hpp"
#include "io/atomic_file.hpp"
#include "io/base_checkpoint.hpp"
#include "io/dataset.hpp"
#include "io/folder_lock.hpp"
#include "io/json.hpp"
#include "io/jsonl.hpp"
#include "io/mapped_file.hpp"
#include "io/model_config.hpp"
#include "io/safetensors.hpp"
#include "io/safetensors_writer.hpp"
#include "io/selection_json.hpp"
#include "io/tensor_info.hpp"
#include "io/tensor_source.hpp"
#include "io/tokenizer.hpp"
#include "io/utf8.hpp"

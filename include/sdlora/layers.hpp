#pragma once

// All of layers/.

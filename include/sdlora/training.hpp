#pragma once

// All of training/.

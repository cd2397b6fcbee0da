"""The targets of fuzzing are found beside their tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # where `fuzz_targets` is

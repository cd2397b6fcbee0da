"""The golden trainings are found beside their tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # where `golden_runs` is

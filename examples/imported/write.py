"""Write the page that the other service shows."""

import platform
import sys
from pathlib import Path

Path(sys.argv[1]).write_text(f"Written by Python {platform.python_version()} in an imported image.\n", encoding="utf-8")

"""Write root.tar, the root file system that the example's image is imported from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from python_root import write_root

write_root(Path(sys.argv[1] if len(sys.argv) > 1 else "root.tar"))
